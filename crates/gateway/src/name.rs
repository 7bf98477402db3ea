//! Names of header fields: what each means to the proxy, told once, when its head is read.
//!
//! Whoever asks what a field is looks at its [`Name`], not at its text. Not here: which fields pass (see `headers`).

/// A field by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    AccessControlRequestMethod,
    Authorization,
    Connection,
    ContentLength,
    ContentType,
    Cookie,
    Expect,
    GrpcTimeout,
    Host,
    Origin,
    SecWebsocketKey,
    SecWebsocketVersion,
    Te,
    Traceparent,
    TransferEncoding,
    Upgrade,
    UserAgent,
    XRequestId,
    /// Of one hop, and of no meaning here.
    Hop,
    /// Known to mean nothing to any proxy: it passes both ways.
    Plain,
    /// Any other: its text tells.
    Other,
}

impl Name {
    /// Of a name in lower case.
    pub(crate) fn of(text: &[u8]) -> Self {
        // By length first: few names are then compared with any.
        match text.len() {
            2 if text == b"te" => Self::Te,
            4 => match text {
                b"host" => Self::Host,
                b"date" | b"etag" | b"vary" => Self::Plain,
                _ => Self::Other,
            },
            6 => match text {
                b"accept" | b"server" => Self::Plain,
                b"cookie" => Self::Cookie,
                b"origin" => Self::Origin,
                b"expect" => Self::Expect,
                _ => Self::Other,
            },
            7 => match text {
                b"referer" => Self::Plain,
                b"upgrade" => Self::Upgrade,
                b"trailer" => Self::Hop,
                _ => Self::Other,
            },
            8 if text == b"location" => Self::Plain,
            10 => match text {
                b"connection" => Self::Connection,
                b"user-agent" => Self::UserAgent,
                b"set-cookie" => Self::Plain,
                b"keep-alive" => Self::Hop,
                _ => Self::Other,
            },
            11 if text == b"traceparent" => Self::Traceparent,
            12 => match text {
                b"content-type" => Self::ContentType,
                b"x-request-id" => Self::XRequestId,
                b"grpc-timeout" => Self::GrpcTimeout,
                _ => Self::Other,
            },
            13 => match text {
                b"authorization" => Self::Authorization,
                b"cache-control" | b"accept-ranges" | b"last-modified" => Self::Plain,
                _ => Self::Other,
            },
            14 if text == b"content-length" => Self::ContentLength,
            15 => match text {
                b"accept-encoding" | b"accept-language" => Self::Plain,
                _ => Self::Other,
            },
            16 => match text {
                b"content-encoding" => Self::Plain,
                b"proxy-connection" => Self::Hop,
                _ => Self::Other,
            },
            17 => match text {
                b"transfer-encoding" => Self::TransferEncoding,
                b"sec-websocket-key" => Self::SecWebsocketKey,
                _ => Self::Other,
            },
            21 if text == b"sec-websocket-version" => Self::SecWebsocketVersion,
            29 if text == b"access-control-request-method" => Self::AccessControlRequestMethod,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrival::is_override;
    use crate::headers::is_of_proxies;

    #[test]
    fn what_is_known_by_its_name_needs_no_look_at_its_text() {
        for (text, name) in [
            ("access-control-request-method", Name::AccessControlRequestMethod),
            ("authorization", Name::Authorization),
            ("connection", Name::Connection),
            ("content-length", Name::ContentLength),
            ("content-type", Name::ContentType),
            ("cookie", Name::Cookie),
            ("expect", Name::Expect),
            ("grpc-timeout", Name::GrpcTimeout),
            ("host", Name::Host),
            ("origin", Name::Origin),
            ("sec-websocket-key", Name::SecWebsocketKey),
            ("sec-websocket-version", Name::SecWebsocketVersion),
            ("te", Name::Te),
            ("traceparent", Name::Traceparent),
            ("transfer-encoding", Name::TransferEncoding),
            ("upgrade", Name::Upgrade),
            ("user-agent", Name::UserAgent),
            ("x-request-id", Name::XRequestId),
        ] {
            assert_eq!(Name::of(text.as_bytes()), name, "{text}");
        }
        for text in ["keep-alive", "proxy-connection", "trailer"] {
            assert_eq!(Name::of(text.as_bytes()), Name::Hop, "{text}");
        }
        for text in [
            "accept",
            "accept-encoding",
            "accept-language",
            "accept-ranges",
            "cache-control",
            "content-encoding",
            "date",
            "etag",
            "last-modified",
            "location",
            "referer",
            "server",
            "set-cookie",
            "vary",
        ] {
            let text = text.as_bytes();
            assert_eq!(Name::of(text), Name::Plain);
            assert!(!is_of_proxies(text) && !is_override(text));
        }
        for text in ["", "hosts", "daypass-subject", "x-forwarded-for", "proxy", "Host"] {
            assert_eq!(Name::of(text.as_bytes()), Name::Other, "{text}");
        }
    }
}
