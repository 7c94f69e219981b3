//! Puts a folder that was written anew beside the old one in its place, whatever is killed meanwhile.
//!
//! `FOLDER.next` is the new one while it is written, `FOLDER.old` the old one on its way out. Two renames: between them the
//! folder is not there, so whoever opens it calls [`finish_replacing`] first.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Where the new folder is written; what a crash left there is removed.
///
/// # Errors
/// When the disk fails.
pub fn begin_replacing(folder: &Path) -> io::Result<PathBuf> {
    finish_replacing(folder)?;
    Ok(beside(folder, "next"))
}

/// Puts `FOLDER.next`, whose files are durable, in the place of `FOLDER`, and removes the old one.
///
/// # Errors
/// When the disk fails: call [`finish_replacing`], then do all of it again.
pub fn replace_folder(folder: &Path) -> io::Result<()> {
    let (next, old) = (beside(folder, "next"), beside(folder, "old"));
    sync_parent(folder)?;
    fs::rename(folder, &old)?;
    fs::rename(&next, folder)?;
    sync_parent(folder)?;
    fs::remove_dir_all(&old)?;
    sync_parent(folder)
}

/// Ends a replacement that was cut off: the new folder takes the place where the old one has left it, else it was not whole
/// and is removed. Call it before the folder is opened.
///
/// # Errors
/// When the disk fails.
pub fn finish_replacing(folder: &Path) -> io::Result<()> {
    let (next, old) = (beside(folder, "next"), beside(folder, "old"));
    if !folder.exists() && old.exists() && next.exists() {
        fs::rename(&next, folder)?;
        sync_parent(folder)?;
    }
    if folder.exists() {
        for left in [&old, &next] {
            match fs::remove_dir_all(left) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

fn beside(folder: &Path, what: &str) -> PathBuf {
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(what);
    folder.with_file_name(name)
}

fn sync_parent(folder: &Path) -> io::Result<()> {
    folder.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What lies there, by name, with what is in its file.
    fn seen(home: &Path) -> Vec<(String, String)> {
        let mut seen: Vec<_> = fs::read_dir(home)
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|e| (e.file_name().into_string().unwrap(), fs::read_to_string(e.path().join("f")).unwrap()))
            .collect();
        seen.sort();
        seen
    }

    #[test]
    fn whatever_is_cut_off_one_whole_folder_stands() {
        let one = |text: &str| vec![("log".to_owned(), text.to_owned())];
        // What a crash left, and which stands then.
        let table: [(&[(&str, &str)], &str); 5] = [
            (&[("log", "old")], "old"),
            (&[("log", "old"), ("log.next", "half")], "old"),
            (&[("log.old", "old"), ("log.next", "new")], "new"),
            (&[("log", "new"), ("log.old", "old")], "new"),
            (&[("log", "new")], "new"),
        ];
        for (left, stands) in table {
            let home = tempfile::tempdir().unwrap();
            for (name, text) in left {
                fs::create_dir(home.path().join(name)).unwrap();
                fs::write(home.path().join(name).join("f"), text).unwrap();
            }
            let folder = home.path().join("log");
            finish_replacing(&folder).unwrap();
            assert_eq!(seen(home.path()), one(stands), "{left:?}");
            let next = begin_replacing(&folder).unwrap();
            fs::create_dir(&next).unwrap();
            fs::write(next.join("f"), "newer").unwrap();
            replace_folder(&folder).unwrap();
            assert_eq!(seen(home.path()), one("newer"));
        }
    }
}
