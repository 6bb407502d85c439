//! Clients that break the rules of HTTP itself, over bare sockets: each gets an
//! error or the end of its connection, soon, and is in nobody's way.

use std::{net::SocketAddr, time::Duration};

use providers::samples::Request;
use runtime::config::Config;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{Hub, JSON, open_doors, signed};
use crate::hub::PATIENCE;

fn impatient(config: &mut Config) {
    open_doors(config);
    config.server.head_timeout_ms = 1_500;
    config.server.body_idle_timeout_ms = 1_000;
    config.server.body_timeout_ms = 2_000;
}

/// The head of a request, as it goes over the wire, without its length.
fn head(request: &Request) -> String {
    let lines = request.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
    format!("POST {} HTTP/1.1\r\nhost: nexus\r\n{}", request.path, lines.collect::<String>())
}

async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

/// All that comes until the end of the connection, which must come.
async fn rest(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    // A reset is an end, too.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut said)).await.expect("the connection ends");
    String::from_utf8_lossy(&said).into_owned()
}

async fn talk(address: SocketAddr, said: &[u8]) -> String {
    let mut stream = connect(address).await;
    let _ = stream.write_all(said).await;
    rest(&mut stream).await
}

#[tokio::test]
async fn lengths_that_lie_end_the_connection() {
    let hub = Hub::start_with(impatient).await;
    let request = signed("clickup", JSON, "{\"event\":\"taskDeleted\",\"task_id\":\"a\",\"padding\":\"0123456789\"}");
    let (head, body) = (head(&request), String::from_utf8(request.body.clone()).unwrap());
    let too_few = talk(hub.address(), format!("{head}content-length: 1000\r\n\r\n{body}").as_bytes()).await;
    assert!(too_few.starts_with("HTTP/1.1 408 "), "{too_few}");
    let too_many = talk(hub.address(), format!("{head}content-length: 10\r\n\r\n{body}").as_bytes()).await;
    assert!(too_many.starts_with("HTTP/1.1 400 "), "{too_many}");
    assert!(!too_many.contains(" 200 "), "the rest is no request: {too_many}");
    for lengths in [
        "content-length: -1",
        "content-length: x",
        "content-length: 99999999999999999999",
        "content-length: 5\r\ncontent-length: 6",
        "transfer-encoding: x",
        "content-length: 5\r\ntransfer-encoding: x",
    ] {
        let answer = talk(hub.address(), format!("{head}{lengths}\r\n\r\n{body}").as_bytes()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{lengths}: {answer}");
    }
    let huge = talk(hub.address(), format!("{head}content-length: 1000000000000\r\n\r\n{body}").as_bytes()).await;
    assert!(huge.starts_with("HTTP/1.1 413 "), "{huge}");
    for chunks in ["zz\r\n", "5\r\nabc", "ffffffffffffffff\r\nabc", "3\r\nabcd\r\n0\r\n\r\n", "\r\n"] {
        let answer = talk(hub.address(), format!("{head}transfer-encoding: chunked\r\n\r\n{chunks}").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{chunks:?}: {answer}");
    }
    assert!(hub.all_events().await.is_empty());
    hub.is_unharmed().await;
}

#[tokio::test]
async fn what_is_no_http_is_turned_away() {
    let hub = Hub::start_with(impatient).await;
    let many: String = (0..200).map(|number| format!("x-{number}: {}\r\n", "a".repeat(1024))).collect();
    let long = "a".repeat(200_000);
    for said in [
        "\0\0\0\0\r\n\r\n".to_owned(),
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}".to_owned(),
        "GET\r\n\r\n".to_owned(),
        "POST /webhooks/slack HTTP/9.9\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        format!("POST /{long} HTTP/1.1\r\nhost: x\r\n\r\n"),
        format!("POST /webhooks/slack HTTP/1.1\r\nhost: x\r\n{many}\r\n"),
        format!("POST /webhooks/slack HTTP/1.1\r\nhost: x\r\nx-slack-signature: {long}\r\n\r\n"),
        "POST /webhooks/slack HTTP/1.1\r\nhost: x\r\n bad: folded\r\n\u{7f}: x\r\n\r\n".to_owned(),
        "POST /webhooks/slack HTTP/1.1\r\nhost".to_owned(),
    ] {
        let answer = talk(hub.address(), said.as_bytes()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{:.60}: {answer}", said);
    }
    let many_headers = format!("POST /webhooks/slack HTTP/1.1\r\nhost: x\r\n{many}\r\n");
    assert!(talk(hub.address(), many_headers.as_bytes()).await.starts_with("HTTP/1.1 431 "));
    hub.is_unharmed().await;
}

#[tokio::test]
async fn a_slow_body_is_cut_off() {
    let hub = Hub::start_with(impatient).await;
    let request = signed("slack", JSON, vec![b' '; 1000]);
    let mut slow = connect(hub.address()).await;
    slow.write_all(format!("{}content-length: 1000\r\n\r\n", head(&request)).as_bytes()).await.unwrap();
    let (mut heard, mut says) = slow.into_split();
    let trickle = tokio::spawn(async move {
        while says.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    hub.webhook("slack", "message").await.id();
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, heard.read_to_end(&mut answer)).await.expect("an end");
    assert!(answer.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&answer));
    trickle.abort();
}

#[tokio::test]
async fn a_chunked_body_without_end_is_refused_at_the_limit() {
    let hub = Hub::start_with(impatient).await;
    let request = signed("slack", JSON, "");
    let stream = connect(hub.address()).await;
    let (mut heard, mut says) = stream.into_split();
    let head = format!("{}transfer-encoding: chunked\r\n\r\n", head(&request));
    let send = tokio::spawn(async move {
        let chunk = format!("400\r\n{}\r\n", " ".repeat(1024));
        let mut sent = 0;
        says.write_all(head.as_bytes()).await.unwrap();
        while says.write_all(chunk.as_bytes()).await.is_ok() && sent < 256 << 20 {
            sent += 1024;
        }
        sent
    });
    let mut answer = [0; 13];
    timeout(PATIENCE, heard.read_exact(&mut answer)).await.expect("soon").expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 413 ");
    drop(heard);
    let sent = timeout(PATIENCE, send).await.expect("the connection is closed").unwrap();
    assert!(sent < 64 << 20, "{sent} bytes of it were taken");
    hub.is_unharmed().await;
}
