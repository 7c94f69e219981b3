use super::*;

fn text(name: &str, text: &str) -> NewDocument {
    NewDocument { name: name.into(), media_type: None, date: None, bytes: text.as_bytes().to_vec() }
}

async fn open(folder: &Path) -> Documents {
    Documents::open(folder, PdfProgram::new("/bin/false".into(), vec![])).await.unwrap()
}

#[tokio::test]
async fn a_document_is_its_owners_until_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let documents = open(folder.path()).await;
    let (ada, bob) = (UserId::new("ada").unwrap(), UserId::new("bob").unwrap());
    let now = DateTime::UNIX_EPOCH;
    let kept = documents.add(&ada, text("diary.md", "zanzibar nights"), now).await.unwrap();
    let again = documents.add(&ada, text("other.md", "zanzibar nights"), now).await.unwrap();
    assert_eq!(kept, again, "the same bytes are one document");
    assert_eq!(documents.text(&ada, kept.id).await.unwrap().unwrap(), "zanzibar nights");
    assert_eq!(documents.original(&ada, kept.id).await.unwrap().unwrap(), b"zanzibar nights");
    assert_eq!(documents.get(&bob, kept.id).await.unwrap(), None);
    assert_eq!(documents.text(&bob, kept.id).await.unwrap(), None);
    assert!(documents.list(&bob).await.unwrap().is_empty());
    assert!(!documents.delete(&bob, kept.id).await.unwrap());

    let documents = open(folder.path()).await;
    let changes = documents.after(0, 10).await.unwrap();
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].document.as_ref(), Some(&kept));
    assert!(documents.delete(&ada, kept.id).await.unwrap());
    assert_eq!(documents.get(&ada, kept.id).await.unwrap(), None);
    let gone = documents.after(changes[0].place, 10).await.unwrap();
    assert_eq!((gone.len(), gone[0].id, &gone[0].document), (1, kept.id, &None));
    documents.forget(&gone[0]).await.unwrap();
    assert!(documents.after(0, 10).await.unwrap().is_empty());
    drop(documents);
    let mut files = vec![folder.path().to_owned()];
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(path).unwrap().map(|e| e.unwrap().path()));
        } else {
            let bytes = std::fs::read(&path).unwrap();
            let found = bytes.windows(8).any(|w| w == b"zanzibar" || w == b"diary.md");
            assert!(!found, "{} still holds it", path.display());
        }
    }
}

#[tokio::test]
async fn what_is_wrong_is_said_and_nothing_kept() {
    let folder = tempfile::tempdir().unwrap();
    let documents = open(folder.path()).await;
    let (ada, now) = (UserId::new("ada").unwrap(), DateTime::UNIX_EPOCH);
    let mut refused = Vec::new();
    for new in [
        text("", "x"),
        text("a\nb.txt", "x"),
        text("photo.jpg", "x"),
        text("blank.txt", "  "),
        text("a.pdf", "%PDF-"),
    ] {
        refused.push(documents.add(&ada, new, now).await.unwrap_err().to_string());
    }
    let expected = ["characters", "characters", "no format", "holds no text", "not a PDF"];
    for (error, part) in refused.iter().zip(expected) {
        assert!(error.contains(part), "{error}");
    }
    assert!(documents.list(&ada).await.unwrap().is_empty());
    for n in 0..DOCUMENTS_MAX {
        documents.add(&ada, text("d.txt", &format!("day {n}")), now).await.unwrap();
    }
    let full = documents.add(&ada, text("d.txt", "one more"), now).await.unwrap_err();
    assert!(matches!(full, Error::Full), "{full}");
    documents.add(&UserId::new("bob").unwrap(), text("d.txt", "mine"), now).await.unwrap();
}
