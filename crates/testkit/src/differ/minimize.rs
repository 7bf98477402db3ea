//! The smallest part of a failing batch that still fails.

/// Drops parts of `bytes`, ever smaller ones, for as long as what is left `fails`.
pub async fn smallest(bytes: &[u8], mut fails: impl AsyncFnMut(&[u8]) -> bool) -> Vec<u8> {
    let mut kept = bytes.to_vec();
    let mut size = kept.len().div_ceil(2);
    let mut tries = 0;
    while size > 0 && tries < TRIES_MAX {
        let mut at = 0;
        while at < kept.len() && tries < TRIES_MAX {
            let end = (at + size).min(kept.len());
            let left = [kept.get(..at).unwrap_or_default(), kept.get(end..).unwrap_or_default()].concat();
            tries += 1;
            if !left.is_empty() && fails(&left).await {
                kept = left;
            } else {
                at = end;
            }
        }
        size /= 2;
    }
    kept
}

/// How often a batch is tried again at most: each try is a world.
const TRIES_MAX: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_does_not_matter_is_dropped() {
        let fails = async |bytes: &[u8]| bytes.windows(2).any(|pair| pair == b"ab") && bytes.contains(&b'x');
        assert_eq!(smallest(b"0123abcdefghijx9876", fails).await, b"abx");
    }
}
