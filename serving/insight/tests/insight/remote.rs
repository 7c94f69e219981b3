//! A server of OpenAI's API: what it is sent, what of it is believed.

use std::time::Duration;

use crave_insight::{Backend, Piece, Prompt, Remote, RemoteOptions};
use crave_lora::Message;
use crave_recall::Key;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

fn options(url: &str) -> RemoteOptions {
    RemoteOptions {
        url: url.into(),
        key: Some(Key::new("sk-secret").unwrap()),
        model: "small".into(),
        context: 2_048,
        patience: Duration::from_secs(5),
    }
}

fn prompt() -> Prompt {
    Prompt {
        messages: vec![Message { role: "user".into(), content: "why do I crave sugar? ".repeat(20) }],
        adapter: None,
        max_tokens: 40,
    }
}

/// Answers one request with these bytes; returns the pieces, the request, and the backend.
async fn told(answer: &'static str) -> (Vec<Piece>, String, Remote) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let served = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let (mut request, mut bytes) = (Vec::new(), [0; 4096]);
        while !request.ends_with(b"}") {
            let n = socket.read(&mut bytes).await.unwrap();
            request.extend_from_slice(&bytes[..n]);
        }
        // A byte at a time is how the worst network would give it.
        for byte in answer.as_bytes() {
            socket.write_all(&[*byte]).await.unwrap();
        }
        socket.shutdown().await.unwrap();
        String::from_utf8(request).unwrap()
    });
    let remote = Remote::new(options(&url)).unwrap();
    let mut pieces = remote.speak(prompt()).unwrap();
    let mut all = Vec::new();
    while let Some(piece) = pieces.recv().await {
        all.push(piece);
    }
    (all, served.await.unwrap(), remote)
}

#[tokio::test]
async fn a_stream_is_read_and_its_usage_learned() {
    let (pieces, request, remote) = told(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n\
         : a comment\n\n\
         data: {\"choices\": [{\"delta\": {\"role\": \"assistant\"}}]}\n\n\
         data: {\"choices\": [{\"delta\": {\"content\": \"You logged {{tot\"}}]}\r\n\r\n\
         data: {\"choices\": [{\"delta\": {\"content\": \"al}}.\"}}]}\n\n\
         data: {\"choices\": [], \"usage\": {\"prompt_tokens\": 900, \"completion_tokens\": 7}}\n\n\
         data: [DONE]\n\n",
    )
    .await;
    let text = |text: &str| Piece::Text(text.into());
    let done = Piece::Done { prompt_tokens: Some(900), completion_tokens: Some(7) };
    assert_eq!(pieces, [text("You logged {{tot"), text("al}}."), done]);
    assert!(request.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("authorization: Bearer sk-secret\r\n"));
    let body: serde_json::Value = serde_json::from_str(request.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!((&body["model"], &body["max_tokens"]), (&"small".into(), &40.into()));
    assert_eq!(body["stream_options"]["include_usage"], true);
    // It counted more than we did: from now on we count at least as much.
    assert!(remote.counter().prompt(&prompt().messages).unwrap() >= 900);
    assert!(!remote.is_remote() && !format!("{remote:?}").contains("sk-secret"));
}

#[tokio::test]
async fn what_is_no_whole_answer_fails() {
    for (answer, why) in [
        ("HTTP/1.1 401 Unauthorized\r\ncontent-length: 3\r\nconnection: close\r\n\r\nwhy", "refused"),
        (
            "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            "refused",
        ),
        ("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\ndata: <html>\n\n", "does not speak"),
        ("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\ndata: {\"choices\": []}\n\n", "broke off"),
    ] {
        let (pieces, _, _) = told(answer).await;
        assert!(matches!(pieces.as_slice(), [Piece::Failed(told)] if told.contains(why)), "{pieces:?}");
    }
}

#[test]
fn words_leave_by_tls_only() {
    for wrong in ["http://example.org/v1", "ftp://127.0.0.1/v1", "no url", ""] {
        assert!(Remote::new(options(wrong)).is_err(), "{wrong}");
    }
    assert!(Remote::new(options("https://example.org/v1")).unwrap().is_remote());
}
