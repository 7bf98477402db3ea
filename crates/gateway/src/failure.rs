//! What a caller is told when an admitted request got no answer.

use access::{Reason, Refused};

use crate::upstream::SendFailure;

/// What a caller is told of a failure, above all whether the request may have been carried out.
pub(crate) fn told(failure: SendFailure) -> Refused {
    let (reason, detail, next) = match failure {
        SendFailure::Unreachable => (
            Reason::UpstreamUnreachable,
            "no upstream of this API could be connected to; nothing of the request was sent",
            "look whether the API runs at the addresses in its `upstreams:`",
        ),
        SendFailure::Unresolved => (
            Reason::UpstreamUnreachable,
            "the name of this API's upstream has no address; nothing of the request was sent",
            "look at the name in the API's `upstreams:`, and at what this machine resolves names with",
        ),
        SendFailure::NotHttp2 => (
            Reason::UpstreamUnreachable,
            "the upstream did not show that it speaks HTTP/2; nothing of the request was sent",
            "for an upstream of HTTP/1.1 write `http://`, `https://` or `unix:` in the API's `upstreams:`",
        ),
        SendFailure::NoRoom => (
            Reason::UpstreamUnreachable,
            "this node has as many connections open as it may; nothing of the request was sent",
            "try again in a moment; an operator gives the server more descriptors (`ulimit -n`, `LimitNOFILE=`)",
        ),
        SendFailure::Failing => (
            Reason::UpstreamUnreachable,
            "every upstream of this API fails its health checks; nothing of the request was sent",
            "look at the API itself; `daypass status` says what its checks find",
        ),
        SendFailure::Unproven(why) => (
            Reason::UpstreamUnreachable,
            why.why(),
            "look at the upstream's certificate, and at the API's `upstream_tls:`",
        ),
        SendFailure::Closed | SendFailure::Upload => (
            Reason::UpstreamUnreachable,
            "the upstream closed the connection before it answered; it may have carried the request out",
            "look at the API itself: Daypass let the request pass and sent it on",
        ),
        SendFailure::Malformed => (
            Reason::UpstreamMalformed,
            "what the upstream answered is not valid HTTP; it may have carried the request out",
            "look at the API itself: Daypass let the request pass and sent it on",
        ),
        SendFailure::Late => (
            Reason::UpstreamTimeout,
            "the upstream did not answer within its time; it may have carried the request out",
            "look at the API itself, or ask its owner to raise `limits.timeout`",
        ),
        SendFailure::NotSwitched => (
            Reason::UpstreamMalformed,
            "the upstream answered as if it had not been asked for a WebSocket",
            "look whether the API takes WebSockets at this path",
        ),
        SendFailure::Overdue => (
            Reason::UpstreamTimeout,
            "the upstream did not answer within the time for a whole exchange; it may have carried the request out",
            "look at the API itself; the time is its `limits.total`, or a call's own `grpc-timeout`",
        ),
        SendFailure::NoSwitch => (
            Reason::UpgradeRefused,
            "the upstream of this API speaks HTTP/2, over which no WebSocket is opened",
            "ask the API's owner for an `http://` upstream",
        ),
    };
    Refused::because(reason, detail).next(next)
}
