//! The text of a PDF, page by page, with `lopdf`.

use lopdf::Document;

use super::{TEXT_BYTES_MAX, Unreadable};

pub(super) fn text(bytes: &[u8]) -> Result<String, Unreadable> {
    let document = Document::load_mem(bytes).map_err(|error| Unreadable::NotPdf(error.to_string()))?;
    if document.is_encrypted() {
        return Err(Unreadable::NotPdf("it is locked with a password".into()));
    }
    let mut text = String::new();
    for number in document.get_pages().into_keys() {
        // A page that cannot be read does not take the others with it.
        if let Ok(page) = document.extract_text(&[number]) {
            text.push_str(page.trim());
            text.push_str("\n\n");
        }
        if text.len() > TEXT_BYTES_MAX {
            return Err(Unreadable::TooLong);
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use lopdf::content::{Content, Operation};
    use lopdf::{Document, Object, Stream, dictionary};

    use super::*;

    /// A PDF with one line of text a page.
    fn written(pages: &[&str]) -> Vec<u8> {
        let mut document = Document::with_version("1.5");
        let root = document.new_object_id();
        let font = document.add_object(dictionary! {
            "Type" => "Font", "Subtype" => "Type1", "BaseFont" => "Helvetica", "Encoding" => "WinAnsiEncoding",
        });
        let resources = document.add_object(dictionary! { "Font" => dictionary! { "F1" => font } });
        let mut kids: Vec<Object> = Vec::new();
        for line in pages {
            let operations = vec![
                Operation::new("BT", vec![]),
                Operation::new("Tf", vec!["F1".into(), 12.into()]),
                Operation::new("Td", vec![50.into(), 700.into()]),
                Operation::new("Tj", vec![Object::string_literal(*line)]),
                Operation::new("ET", vec![]),
            ];
            let content = Content { operations }.encode().unwrap();
            let content = document.add_object(Stream::new(dictionary! {}, content));
            let page = dictionary! { "Type" => "Page", "Parent" => root, "Contents" => content, "Resources" => resources };
            kids.push(document.add_object(page).into());
        }
        let count = i64::try_from(kids.len()).unwrap();
        let tree = dictionary! {
            "Type" => "Pages", "Kids" => kids, "Count" => count,
            "MediaBox" => vec![0.into(), 0.into(), 595.into(), 842.into()],
        };
        document.objects.insert(root, Object::Dictionary(tree));
        let catalog = document.add_object(dictionary! { "Type" => "Catalog", "Pages" => root });
        document.trailer.set("Root", catalog);
        let mut bytes = Vec::new();
        document.save_to(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn pages_follow_each_other() {
        let bytes = written(&["I stopped smoking in May.", "In June I began again."]);
        assert_eq!(text(&bytes).unwrap(), "I stopped smoking in May.\n\nIn June I began again.\n\n");
        for cut in [10, bytes.len() / 2, bytes.len() - 40] {
            let _ = text(&bytes[..cut]);
        }
        assert_eq!(text(&written(&[])).unwrap(), "");
    }
}
