//! The file itself: its owner, its permissions, and errors for files that are not archives.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use chatark_archive::{Archive, Filter};
use chatark_core::{Error, ErrorKind};
use rusqlite::Connection;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::support::{TestEnvironment, all, noon, written};

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("archive.db");
    (folder, path)
}

/// Opens a file to read or write and reads everything in it.
fn opened(path: &Path, to_write: bool) -> Result<(), Error> {
    let archive = if to_write { Archive::open(path, noon()) } else { Archive::open_to_read(path) };
    let archive = archive?;
    archive.status()?;
    archive.each_conversation(&Filter::default(), |_| Ok(()))
}

/// Expects a file to be rejected and unchanged.
fn check(path: &Path, kind: ErrorKind, words: &str) {
    let before = fs::read(path).unwrap();
    for to_write in [false, true] {
        let error = opened(path, to_write).unwrap_err();
        assert_eq!(error.kind(), kind, "{to_write}: {error}");
        assert!(error.to_string().contains(words), "{to_write}: {error}");
        assert!(error.hint_text().is_some(), "{error}");
    }
    assert_eq!(fs::read(path).unwrap(), before);
}

/// Steps of the layout are append-only: archives with this layout are out there, so a file that differs from theirs
/// would make two layouts of one number. Change the layout by a new file; never update this hash.
#[test]
fn released_steps_of_the_layout_are_never_edited() {
    let pinned: [(&[u8], &str); 5] = [
        (
            include_bytes!("../../src/layout/0001_first.sql"),
            "e28de7014c7c38a9824e5e35d678194c4a1e2f05318bcc16903394f1b984a453",
        ),
        (
            include_bytes!("../../src/layout/0002_sweeps.sql"),
            "22835393c824d4271d5a169bf2fd637994567c50c0c3bafb7eeff96ff2fbbf05",
        ),
        (
            include_bytes!("../../src/layout/0003_transfers.sql"),
            "cb71d134ce9b23f5ea831bdfea348cecce2fc006586a4a30d9355c80ba979810",
        ),
        (
            include_bytes!("../../src/layout/0004_streams.sql"),
            "4feca2a363d0b66875f1d07758d87e25b8d0dd527efaa16ed7ab316cc6be817f",
        ),
        (
            include_bytes!("../../src/layout/0005_gaps.sql"),
            "87594917dedc9439cc4916a51441df470def73aef90577a680fb6b5c2772b7e0",
        ),
    ];
    for (migration, pin) in pinned {
        let hash: Vec<_> = Sha256::digest(migration).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hash.concat(), pin);
    }
}

#[test]
fn a_closed_archive_can_be_copied_and_opened_again() {
    let (_folder, path) = folder();
    let mut env = TestEnvironment::new();
    let mut run = env.run();
    env.commit(&mut run, vec![written("a", "one\nx"), written("b", "two")]);
    let before = all(&env.archive);
    let from = env.path.clone();
    env.archive.close().unwrap();
    // Everything is in the one file, so a copy of it is a copy of the archive.
    fs::copy(from, &path).unwrap();
    assert_eq!(all(&Archive::open_to_read(&path).unwrap()), before);
    let archive = Archive::open(&path, noon()).unwrap();
    assert_eq!(all(&archive), before);
    assert_eq!(archive.path(), path);
}

#[test]
fn others_can_read_while_one_process_writes() {
    let mut env = TestEnvironment::new();
    let mut run = env.run();
    env.commit(&mut run, vec![written("a", "one")]);
    let error = Archive::open(&env.path, noon()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
    let reader = Archive::open_to_read(&env.path).unwrap();
    assert_eq!(all(&reader).len(), 1);
    reader.close().unwrap();
    drop(env.archive);
    assert!(Archive::open(&env.path, noon()).is_ok());
}

#[test]
fn the_file_and_its_companions_are_private() {
    let mut env = TestEnvironment::new();
    let mut run = env.run();
    env.commit(&mut run, vec![written("a", "one")]);
    let mut found: Vec<_> = fs::read_dir(env.path.parent().unwrap())
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            (entry.file_name().into_string().unwrap(), format!("{mode:o}"))
        })
        .collect();
    found.sort();
    let expect = ["archive.db", "archive.db-shm", "archive.db-wal", "archive.db.lock"];
    assert_eq!(found, expect.map(|name| (name.to_owned(), "600".to_owned())));
}

#[test]
fn missing_folders_are_created() {
    let (folder, _) = folder();
    let path = folder.path().join("a/b/archive.db");
    assert!(Archive::open(&path, noon()).is_ok());
    assert!(opened(&path, false).is_ok());
}

#[test]
fn there_is_nothing_to_read_before_the_first_pull() {
    let (_folder, path) = folder();
    let error = opened(&path, false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.hint_text().unwrap().contains("chatark pull"), "{error}");
    assert!(!path.exists());
    File::create(&path).unwrap();
    assert_eq!(opened(&path, false).unwrap_err().kind(), ErrorKind::Usage);
    assert!(opened(&path, true).is_ok(), "an empty file becomes an archive");
}

#[test]
fn a_folder_instead_of_the_file_is_a_storage_error() {
    let (folder, _) = folder();
    assert_eq!(opened(folder.path(), true).unwrap_err().kind(), ErrorKind::Storage);
    assert_eq!(opened(folder.path(), false).unwrap_err().kind(), ErrorKind::Storage);
}

#[test]
fn a_file_of_another_kind_is_refused_and_left_as_it_is() {
    let (_folder, path) = folder();
    for text in ["xy", "Dear diary,\n", &"all work and no play\n".repeat(1_000)] {
        fs::write(&path, text).unwrap();
        check(&path, ErrorKind::Damaged, "open the archive");
    }
}

#[test]
fn a_database_of_another_program_is_refused_and_left_as_it_is() {
    let (_folder, path) = folder();
    for sql in [
        "CREATE TABLE bookmark (url TEXT)",
        "PRAGMA user_version = 1",
        "PRAGMA application_id = 7; PRAGMA user_version = 1",
    ] {
        let _ = fs::remove_file(&path);
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        check(&path, ErrorKind::Damaged, "a database of another program");
    }
}

#[test]
fn a_layout_of_a_newer_version_is_refused() {
    let (_folder, path) = folder();
    Archive::open(&path, noon()).unwrap().close().unwrap();
    Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
    check(&path, ErrorKind::Usage, "it has layout 99, and this version of Chatark knows layouts up to");
}

#[test]
fn a_file_that_was_cut_off_is_damaged() {
    let mut env = TestEnvironment::new();
    let mut run = env.run();
    let long = format!("title{}", "\nsome words that take up some room".repeat(200));
    env.commit(&mut run, (0..40).map(|at| written(&format!("{at}"), &long)).collect());
    env.archive.close().unwrap();
    let whole = fs::metadata(&env.path).unwrap().len();
    assert!(whole > 200_000, "{whole}");
    // Cut off after a whole page, in the middle of a page, or in the header of the first page.
    for length in [whole / 2, whole / 2 / 16_384 * 16_384, 2 * 16_384, 16_384, 5_000, 99, 2] {
        let (_folder, path) = folder();
        fs::copy(&env.path, &path).unwrap();
        OpenOptions::new().write(true).open(&path).unwrap().set_len(length).unwrap();
        for to_write in [false, true] {
            let error = opened(&path, to_write).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Damaged, "{length} {to_write}: {error}");
        }
    }
}
