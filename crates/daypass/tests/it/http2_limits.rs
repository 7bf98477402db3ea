//! What an HTTP/2 client may not do: each refusal has a row, and nobody else waits meanwhile.

use testkit::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE,
    block, frame, get,
};
use testkit::{Ask, Behavior, Frames, World};

/// Error codes of RFC 9113, section 7.
const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;
const COMPRESSION_ERROR: u32 = 9;
const ENHANCE_YOUR_CALM: u32 = 11;

/// How many rows there are of what was refused before it was a request, by reason.
async fn unheard(world: &World, reason: &str, times: usize) {
    let count = || {
        world.rows().iter().filter(|row| row.method == "?" && row.reason.as_deref() == Some(reason)).count()
    };
    testkit::eventually(&format!("{times} rows of `{reason}`"), async || (count() == times).then_some(()))
        .await;
}

#[tokio::test]
async fn each_stream_that_the_codec_refuses_has_one_row() {
    let world = World::start().await;
    let mut connection = world.connect_frames().await;
    let odd: [&[(&str, &str)]; 4] = [
        &[("connection", "close")],
        &[("transfer-encoding", "chunked")],
        &[("te", "gzip")],
        &[(":method", "GET")],
    ];
    for (at, fields) in odd.into_iter().enumerate() {
        let stream = u32::try_from(at).unwrap() * 2 + 1;
        connection.request(stream, &[get("/plain/x"), fields.to_vec()].concat()).await;
        let reset = connection.next(RST_STREAM).await;
        let reset = reset.map(|reset| (reset.stream, reset.code()));
        assert_eq!(reset, Some((stream, PROTOCOL_ERROR)), "{fields:?}");
        unheard(&world, "request_malformed", at + 1).await;
    }
    // A stream that came to be a request has the row of that request.
    connection.request(99, &get("/plain/x")).await;
    assert_eq!(connection.next(HEADERS).await.unwrap().stream, 99);
    unheard(&world, "request_malformed", odd.len()).await;
    // What follows its end breaks the rules of the connection.
    connection.send(frame(DATA, 0, 99, b"late")).await;
    assert_eq!(connection.next(GOAWAY).await.unwrap().code(), STREAM_CLOSED);
    unheard(&world, "request_malformed", odd.len() + 1).await;
    world.finish().await;
}

#[tokio::test]
async fn a_connection_that_breaks_the_rules_ends_with_one_row() {
    let world = World::start().await;
    let with = |field| block(&[get("/plain/x"), vec![field]].concat());
    let broken: [Vec<u8>; 7] = [
        frame(HEADERS, END_HEADERS | END_STREAM, 1, &with(("X-Upper", "1"))),
        frame(HEADERS, END_HEADERS | END_STREAM, 1, &with((":unknown", "1"))),
        frame(DATA, 0, 0, b"for nobody"),
        frame(SETTINGS, 0, 0, b"odd"),
        frame(HEADERS, END_HEADERS, 2, &block(&get("/plain/x"))),
        frame(HEADERS, END_HEADERS, 1, &[0x80]),
        frame(CONTINUATION, 0, 1, b"of nothing"),
    ];
    for (at, bytes) in broken.into_iter().enumerate() {
        let mut connection = world.connect_frames().await;
        connection.send(bytes).await;
        assert!(connection.next(GOAWAY).await.is_some_and(|frame| frame.code() > 0), "number {at}");
        unheard(&world, "request_malformed", at + 1).await;
    }
    world.finish().await;
}

#[tokio::test]
async fn frames_of_a_length_that_none_of_their_kind_has_are_called_so() {
    let world = World::start().await;
    let odd = [
        (SETTINGS, 1, &b"123456"[..]),
        (SETTINGS, 0, b"12345"),
        (PING, 0, b"1234567"),
        (RST_STREAM, 0, b"123"),
    ];
    for (at, (kind, flags, payload)) in odd.into_iter().enumerate() {
        let mut connection = world.connect_frames().await;
        connection.send(frame(kind, flags, 0, payload)).await;
        assert_eq!(connection.next(GOAWAY).await.unwrap().code(), FRAME_SIZE_ERROR, "kind {kind}");
        unheard(&world, "request_malformed", at + 1).await;
    }
    world.finish().await;
}

#[tokio::test]
async fn a_header_block_that_cannot_be_decoded_is_called_so() {
    let world = World::start().await;
    // Cut off, beyond the table, a size beyond what was agreed, Huffman code without an end.
    let undecodable = [&b"\x40"[..], b"\xbe", b"\x3f\xe2\x1f", b"\x00\x81\xff\x00"];
    for (at, block) in undecodable.into_iter().enumerate() {
        let mut connection = world.connect_frames().await;
        connection.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, block)).await;
        assert_eq!(connection.next(GOAWAY).await.unwrap().code(), COMPRESSION_ERROR, "number {at}");
        unheard(&world, "request_malformed", at + 1).await;
    }
    // A block that goes on is judged where it ends; another frame within it is in the wrong place.
    let mut connection = world.connect_frames().await;
    connection.send(frame(HEADERS, END_STREAM, 1, &[0x40, 1])).await;
    connection.send(frame(CONTINUATION, END_HEADERS, 1, b"a")).await;
    assert_eq!(connection.next(GOAWAY).await.unwrap().code(), COMPRESSION_ERROR);
    let mut connection = world.connect_frames().await;
    connection.send(frame(HEADERS, END_STREAM, 1, &[0x40, 1])).await;
    connection.send(frame(CONTINUATION, END_HEADERS, 3, b"a\x01b")).await;
    assert_eq!(connection.next(GOAWAY).await.unwrap().code(), PROTOCOL_ERROR);
    unheard(&world, "request_malformed", undecodable.len() + 2).await;
    world.finish().await;
}

#[tokio::test]
async fn padding_and_a_priority_are_no_part_of_a_header_block() {
    const PADDED_WITH_PRIORITY: u8 = 8 | 32;
    let world = World::start().await;
    let mut connection = world.connect_frames().await;
    let fields = block(&get("/plain/x"));
    let padded = [&[3][..], &[0, 0, 0, 0, 15], &fields, b"\x40\x40\x40"].concat();
    for stream in [1, 3] {
        connection
            .send(frame(HEADERS, END_HEADERS | END_STREAM | PADDED_WITH_PRIORITY, stream, &padded))
            .await;
        assert_eq!(connection.next(HEADERS).await.unwrap().stream, stream);
    }
    drop(connection);
    world.finish().await;
}

#[tokio::test]
async fn pseudo_headers_among_trailers_end_the_connection() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    let bearer = format!("Bearer {token}");
    let mut head = get("/plain/x");
    head.push(("authorization", &bearer));
    head[0] = (":method", "POST");
    let trailers: [&[(&str, &str)]; 2] =
        [&[(":method", "GET")], &[("x-checksum", "7"), (":path", "/plain/y")]];
    for (at, fields) in trailers.into_iter().enumerate() {
        let mut connection = world.connect_frames().await;
        connection.send(frame(HEADERS, END_HEADERS, 1, &block(&head))).await;
        connection.send(frame(DATA, 0, 1, b"a body")).await;
        connection.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(fields))).await;
        assert_eq!(connection.next(GOAWAY).await.unwrap().code(), PROTOCOL_ERROR, "number {at}");
        unheard(&world, "request_malformed", at + 1).await;
    }
    world.finish().await;
}

#[tokio::test]
async fn windows_beyond_their_bound_are_called_so() {
    let world = World::start().await;
    let above = (1_u32 << 31).to_be_bytes();
    let most = frame(WINDOW_UPDATE, 0, 1, &(u32::MAX >> 1).to_be_bytes());
    let mut connection = world.connect_frames().await;
    let settings = [&[0, 3, 0, 0, 0, 9, 0, 4][..], &above].concat();
    connection.send(frame(SETTINGS, 0, 0, &settings)).await;
    assert_eq!(connection.next(GOAWAY).await.unwrap().code(), FLOW_CONTROL_ERROR);
    unheard(&world, "request_malformed", 1).await;
    // The answer is at its end, so that its stream needs no window any more.
    let mut connection = world.connect_frames().await;
    connection.send(frame(HEADERS, END_HEADERS, 1, &block(&get("/plain/x")))).await;
    while connection.next(DATA).await.unwrap().flags & END_STREAM == 0 {}
    connection.send([most.clone(), most].concat()).await;
    assert_eq!(connection.next(GOAWAY).await.unwrap().code(), FLOW_CONTROL_ERROR);
    unheard(&world, "request_malformed", 2).await;
    world.finish().await;
}

/// Sends a request without a body whose head takes several frames.
async fn long_request(connection: &mut Frames, stream: u32, fields: &[(&str, &str)]) {
    let block = block(fields);
    for (at, piece) in block.chunks(16_000).enumerate() {
        let kind = if at == 0 { HEADERS } else { CONTINUATION };
        let last = (at + 1) * 16_000 >= block.len();
        let flags = if at == 0 { END_STREAM } else { 0 } | if last { END_HEADERS } else { 0 };
        connection.send(frame(kind, flags, stream, piece)).await;
    }
}

#[tokio::test]
async fn a_header_list_beyond_its_bound_is_refused_with_a_row() {
    let world = World::start().await;
    let mut connection = world.connect_frames().await;
    let value = "v".repeat(120);
    let many = vec![("x-long", value.as_str()); 600];
    long_request(&mut connection, 1, &[get("/plain/x"), many].concat()).await;
    assert_eq!(connection.next(HEADERS).await.unwrap().stream, 1);
    unheard(&world, "headers_too_large", 1).await;
    world.finish().await;
}

#[tokio::test]
async fn the_longest_head_that_may_pass_is_read_and_little_more_is() {
    let world = World::start().await;
    let mut connection = world.connect_frames().await;
    let path = format!("/plain/x?{}", "q".repeat(8_192 - "/plain/x".len()));
    // With the 4 bytes that HTTP/1.1 puts between and behind, 100 fields of 327 bytes: 32,700 of 32,768.
    let (most, more) = ("v".repeat(327 - 10), "v".repeat(450));
    let with = |value| [get(&path), vec![("x-long", value); 100]].concat();
    long_request(&mut connection, 1, &with(&most)).await;
    assert_eq!(connection.next(HEADERS).await.unwrap().stream, 1);
    let judged = |row: &journal::RequestRow| row.reason.as_deref() == Some("credential_missing");
    world.row_where("the row of the longest head", judged).await;
    long_request(&mut connection, 3, &with(&more)).await;
    assert_eq!(connection.next(HEADERS).await.unwrap().stream, 3);
    unheard(&world, "headers_too_large", 1).await;
    world.finish().await;
}

#[tokio::test]
async fn a_client_that_takes_no_refusal_is_soon_let_go_of() {
    let world = World::start().await;
    let mut connection = world.connect_frames().await;
    let no_window = [0, 4, 0, 0, 0, 0];
    connection.send(frame(SETTINGS, 0, 0, &no_window)).await;
    let mut waiting: Vec<u32> = (0..10).map(|at| at * 2 + 1).collect();
    for stream in &waiting {
        // Every other one has a body that is still to come.
        let flags = if stream % 4 == 1 { END_HEADERS | END_STREAM } else { END_HEADERS };
        connection.send(frame(HEADERS, flags, *stream, &block(&get("/plain/x")))).await;
    }
    while !waiting.is_empty() {
        let reset = connection.next(RST_STREAM).await.expect("within the wait of a test, which is short");
        assert_eq!(reset.code(), CANCEL);
        waiting.retain(|stream| *stream != reset.stream);
    }
    // The connection is as good as before.
    let (window, stream) = ([0, 4, 0, 0, 0xff, 0xff], 99);
    connection.send(frame(SETTINGS, 0, 0, &window)).await;
    connection.request(stream, &get("/plain/x")).await;
    assert_eq!(connection.next(DATA).await.unwrap().stream, stream);
    world.finish().await;
}

#[tokio::test]
async fn streams_beyond_as_many_as_may_be_open_are_refused_with_a_row() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    world.upstream().on("/hang", Behavior::Hang);
    let mut connection = world.connect_frames().await;
    let bearer = format!("Bearer {token}");
    let fields = [get("/plain/hang"), vec![("authorization", bearer.as_str())]].concat();
    let most = gateway::bounds::H2_STREAMS_MAX;
    for at in 0..=most {
        connection.request(at * 2 + 1, &fields).await;
    }
    let reset = connection.next(RST_STREAM).await.unwrap();
    assert_eq!((reset.stream, reset.code()), (most * 2 + 1, REFUSED_STREAM));
    unheard(&world, "overloaded", 1).await;
    drop(connection);
    world.finish().await;
}

/// Sends, and waits until the connection ends; a client that has not been read to the end may not be told why.
async fn flood(connection: &mut Frames, pieces: impl Iterator<Item = Vec<u8>>) {
    for piece in pieces {
        connection.send(piece).await;
    }
    let told = connection.next(GOAWAY).await.map(|frame| frame.code());
    assert!(matches!(told, None | Some(ENHANCE_YOUR_CALM)), "{told:?}");
}

#[tokio::test]
async fn floods_end_their_connection_and_nobody_elses() {
    let world = World::start().await;
    let token = world.fresh_token("alice", "plain-all").await.secret;
    let most = gateway::bounds::H2_CONTROL_FRAMES_MAX as usize;
    let control = [
        frame(PING, 0, 0, &[0; 8]),
        frame(SETTINGS, 0, 0, &[]),
        frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
        frame(2, 0, 1, &[0, 0, 0, 0, 1]),
        frame(77, 0, 0, b""),
    ];
    let mut neighbor = world.connect().await;
    for (at, one) in control.into_iter().enumerate() {
        let mut connection = world.connect_frames().await;
        let pieces = std::iter::repeat_n(one.repeat(100), most / 100 + 2);
        flood(&mut connection, pieces).await;
        unheard(&world, "rate_limited", at + 1).await;
        assert_eq!(neighbor.ask(&Ask::get("/plain/x").bearer(&token)).await.status, 200);
    }
    drop(neighbor);
    world.finish().await;
}

#[tokio::test]
async fn streams_that_are_opened_and_reset_at_once_end_their_connection() {
    let world = World::start().await;
    let mut connection = world.connect_frames().await;
    let request = block(&get("/plain/x"));
    let pair = |at: u32| {
        let stream = at * 2 + 1;
        [
            frame(HEADERS, END_STREAM | END_HEADERS, stream, &request),
            frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]),
        ]
        .concat()
    };
    let pieces = (0..500).map(|turn| (0..100).flat_map(|at| pair(turn * 100 + at)).collect());
    flood(&mut connection, pieces).await;
    unheard(&world, "rate_limited", 1).await;
    world.finish().await;
}

#[tokio::test]
async fn a_client_that_provokes_resets_loses_its_connection() {
    let world = World::start().await;
    let mut connection = world.connect_frames().await;
    let request = block(&get("/plain/x"));
    // A window beyond its bound is the stream's error (RFC 9113, section 6.9.1).
    let pair = |at: u32| {
        let stream = at * 2 + 1;
        let opened = frame(HEADERS, END_HEADERS, stream, &request);
        [opened, frame(WINDOW_UPDATE, 0, stream, &[0x7f, 0xff, 0xff, 0xff])].concat()
    };
    let most = u32::try_from(gateway::bounds::H2_FAULTY_STREAMS_MAX).unwrap();
    let pieces = (0..=most).map(pair);
    flood(&mut connection, pieces).await;
    unheard(&world, "rate_limited", 1).await;
    world.finish().await;
}
