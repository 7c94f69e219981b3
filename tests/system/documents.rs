//! Documents through the real server: uploaded, found, quoted by span, deleted; a PDF read by a process of its own.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Server, token};

/// A PDF with one line of text, as small as one can be.
fn pdf(line: &str) -> Vec<u8> {
    let content = format!("BT /F1 12 Tf 50 700 Td ({line}) Tj ET");
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 /MediaBox [0 0 595 842] >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>".to_owned(),
        format!("<< /Length {} >>\nstream\n{content}\nendstream", content.len()),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>".to_owned(),
    ];
    let mut file = "%PDF-1.4\n".to_owned();
    let mut places = Vec::new();
    for (n, object) in (1..).zip(&objects) {
        places.push(file.len());
        file.push_str(&format!("{n} 0 obj\n{object}\nendobj\n"));
    }
    let table = file.len();
    file.push_str(&format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1));
    for place in places {
        file.push_str(&format!("{place:010} 00000 n \n"));
    }
    file.push_str(&format!("trailer << /Size 6 /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n"));
    file.into_bytes()
}

async fn upload(server: &Server, token: &str, name: &str, bytes: Vec<u8>) -> (u16, Value) {
    let request = server.http.post(format!("{}/v1/documents", server.url)).query(&[("name", name)]);
    let sent = request.bearer_auth(token).body(bytes).send().await.unwrap();
    (sent.status().as_u16(), sent.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_is_kept_read_by_span_and_deleted() {
    let home = tempfile::tempdir().unwrap();
    let (ada, bob) = (token(home.path(), "ada"), token(home.path(), "bob"));
    let server = Server::start(home.path());
    let text = "I baked zimtsterne on Sunday. Then I ate all of them alone.";
    let (status, kept) = upload(&server, &ada, "diary.md", text.into()).await;
    assert_eq!((status, kept["text_bytes"].as_u64()), (201, Some(text.len() as u64)), "{kept}");
    let (status, letter) = upload(&server, &ada, "letter.pdf", pdf("No more cigarettes since May.")).await;
    assert_eq!(status, 201, "{letter}");
    let path = format!("/v1/documents/{}", letter["id"].as_str().unwrap());
    let (_, read) = server.get(&ada, &format!("{path}/text?from=0&to=8")).await;
    assert_eq!(read, json!({ "from": 0, "to": 8, "text": "No more " }));
    let (_, list) = server.get(&ada, "/v1/documents").await;
    assert_eq!(list["items"].as_array().unwrap().len(), 2);

    // What is quoted of a document opens at its very bytes.
    let indexed = async |s: &Server| s.get(&ada, "/v1/memories").await.1.to_string().contains("zimtsterne");
    server.until(Duration::from_secs(20), indexed).await;
    let (_, talk) = server.post(&ada, "/v1/conversations", &json!({})).await;
    let said = format!("/v1/conversations/{}/messages", talk["id"].as_str().unwrap());
    let (_, reply) = server.post(&ada, &said, &json!({ "text": "Who ate the zimtsterne on Sunday?" })).await;
    let passage = &reply["recalled"][0]["passage"];
    assert_eq!((&passage["document"], &passage["name"]), (&kept["id"], &json!("diary.md")), "{reply}");
    let span = format!(
        "/v1/documents/{}/text?from={}&to={}",
        passage["document"].as_str().unwrap(),
        passage["from"],
        passage["to"]
    );
    let (status, opened) = server.get(&ada, &span).await;
    assert_eq!((status, opened["text"].as_str()), (200, reply["recalled"][0]["text"].as_str()), "{opened}");
    assert!(
        reply["answer"]["sentences"][0]["text"].as_str().unwrap().starts_with("In “diary.md”"),
        "{reply}"
    );
    assert_eq!(server.get(&bob, &span).await.0, 404);

    // Nobody else's, in no way.
    for (path, expected) in
        [(path.clone(), 404), (format!("{path}/text"), 404), (format!("{path}/original"), 404)]
    {
        assert_eq!(server.get(&bob, &path).await.0, expected, "{path}");
    }
    assert!(server.get(&bob, "/v1/documents").await.1["items"].as_array().unwrap().is_empty());
    let delete =
        |token: String| server.http.delete(format!("{}{path}", server.url)).bearer_auth(token).send();
    assert_eq!(delete(bob.clone()).await.unwrap().status(), 404);
    assert_eq!(delete(ada.clone()).await.unwrap().status(), 204);
    assert_eq!(server.get(&ada, &path).await.0, 404);

    // What is wrong is told; a PDF that is none costs a process, not the server.
    for (name, bytes, part) in [
        ("scan.pdf", b"%PDF-1.4 cut off".to_vec(), "not a PDF that can be read"),
        ("photo.jpg", b"x".to_vec(), "no format"),
        ("bad.txt", vec![0xff], "UTF-8"),
    ] {
        let (status, refused) = upload(&server, &ada, name, bytes).await;
        let message = refused["error"]["message"].as_str().unwrap();
        assert!(status == 400 && message.contains(part), "{status} {message}");
    }
    let (status, _) = upload(&server, &ada, "long.txt", vec![b'a'; (10 << 20) + 1]).await;
    assert_eq!(status, 413);

    // The index follows, both ways.
    let limit = Duration::from_secs(20);
    let position = home.path().join("memories/position-documents.json");
    server.until(limit, async |_| std::fs::read_to_string(&position).is_ok_and(|p| p == "3")).await;
    server.stop();
}
