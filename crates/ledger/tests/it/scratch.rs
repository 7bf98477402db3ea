use std::time::Duration;
use access::{GrantId, TokenId, Revision, Deadline};
use control::{Change, Event};
use ledger::{Ledger, Sqlite};
use crate::world::*;

fn rss() -> usize { std::fs::read_to_string("/proc/self/statm").unwrap().split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096 / 1048576 }

#[tokio::test]
async fn scratch() {
    let d = tempfile::tempdir().unwrap();
    let path = d.path().join("l");
    let mut l = Sqlite::open(&path).unwrap();
    let n: u64 = std::env::var("N").unwrap().parse().unwrap();
    let mut evs = vec![];
    for g in 0..n/100 {
        let mut e = [0; 10]; e[2..].copy_from_slice(&g.to_be_bytes());
        evs.push(Event { at: DAY, by: "user:bob".parse().unwrap(), change: Change::GiveGrant { grant: GrantId::new(DAY, e), subject: format!("user:u{g}").parse().unwrap(), role: "orders-viewer".parse().unwrap(), until: Deadline::at(DAY.plus(Duration::from_secs(3600))), reason: "r".into(), incident: None } });
        for t in 0..99 { let mut te = e; te[0] = t as u8 + 1;
        evs.push(Event { at: DAY, by: "user:bob".parse().unwrap(), change: Change::MintToken { token: TokenId::new(DAY, te), digest: access::credential::Digest::of(&te), grant: GrantId::new(DAY, e), subject: format!("user:u{g}").parse().unwrap(), until: Deadline::at(DAY.plus(Duration::from_secs(3600))), only: vec![] } }); }
    }
    let t = tokio::time::Instant::now();
    l.append(Revision::ZERO, &evs).unwrap();
    println!("append {} in {:?}", evs.len(), t.elapsed());
    drop(evs); drop(l);
    let before = rss();
    let t = tokio::time::Instant::now();
    let h = start(Sqlite::open(&path).unwrap()).unwrap();
    println!("start in {:?}, rss {} -> {} MiB", t.elapsed(), before, rss());
    h.keeper.execute(adopt(policy())).await.unwrap();
    let t = tokio::time::Instant::now();
    for i in 0..100 { h.keeper.execute(grant(i + 100)).await.unwrap(); }
    println!("100 grants in {:?}", t.elapsed());
    let t = tokio::time::Instant::now();
    let r = h.keeper.execute(revoke_all()).await.unwrap();
    println!("revoke all {:?} {}", t.elapsed(), r.state.grants().len());
}
