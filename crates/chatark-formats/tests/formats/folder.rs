//! The output folder: all files or none, private to the user.

use std::fs;

use chatark_core::ErrorKind;
use chatark_formats::{Export, ExportOptions, Format};

use crate::helpers::{add, export, export_into, names, options, state, text};
use crate::samples;

#[test]
fn an_unfinished_export_leaves_the_folder_as_it_was() {
    let (folder, _) = export(&samples::all());
    let before: Vec<(String, String)> =
        names(folder.path()).into_iter().map(|name| (name.clone(), text(folder.path(), &name))).collect();
    let mut unfinished = Export::begin(folder.path(), &options(Format::ALL)).unwrap();
    add(&mut unfinished, &samples::bare());
    assert_eq!(names(folder.path()).len(), 6 + 4, "each file in progress has a temporary file in the folder");
    drop(unfinished);
    let after: Vec<(String, String)> =
        names(folder.path()).into_iter().map(|name| (name.clone(), text(folder.path(), &name))).collect();
    assert_eq!(after, before);
}

#[test]
fn an_unfinished_export_removes_the_folders_that_it_created() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("a/b/c");
    drop(Export::begin(&folder, &options(Format::ALL)).unwrap());
    assert!(names(root.path()).is_empty());
    fs::create_dir(root.path().join("a")).unwrap();
    let unfinished = Export::begin(&folder, &options(Format::ALL)).unwrap();
    fs::write(root.path().join("a/b/note"), "mine").unwrap();
    drop(unfinished);
    assert_eq!(names(&root.path().join("a/b")), ["note"]);
}

#[test]
fn removes_the_files_of_a_killed_export_but_not_of_a_running_one() {
    let folder = tempfile::tempdir().unwrap();
    let abandoned = ".conversations.json.abc123.chatark-part";
    for name in [abandoned, ".theirs.part", "notes"] {
        fs::write(folder.path().join(name), "half").unwrap();
    }
    let live = Export::begin(folder.path(), &options(&[Format::Jsonl])).unwrap();
    export_into(folder.path(), &options(&[Format::Json]), &samples::all());
    live.finish(state()).unwrap();
    let expect = [".theirs.part", "conversations.json", "conversations.jsonl", "manifest.json", "notes"];
    assert_eq!(names(folder.path()), expect);
}

#[test]
fn writes_only_the_chosen_files() {
    let cases: [(&[Format], &[&str]); 3] = [
        (&[Format::Json], &["conversations.json", "manifest.json"]),
        (&[Format::Jsonl], &["conversations.jsonl", "manifest.json"]),
        (&[Format::Csv], &["conversations.csv", "datapackage.json", "manifest.json", "messages.csv"]),
    ];
    for (formats, expect) in cases {
        let folder = tempfile::tempdir().unwrap();
        export_into(folder.path(), &options(formats), &samples::all());
        assert_eq!(names(folder.path()), expect);
    }
}

#[cfg(unix)]
#[test]
fn files_and_new_folders_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let root = tempfile::tempdir().unwrap();
    let mode = |path: &str| fs::metadata(root.path().join(path)).unwrap().permissions().mode() & 0o7777;
    fs::create_dir(root.path().join("old")).unwrap();
    fs::set_permissions(root.path().join("old"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(root.path().join("old/conversations.json"), "").unwrap();
    fs::set_permissions(root.path().join("old/conversations.json"), fs::Permissions::from_mode(0o644))
        .unwrap();
    export_into(&root.path().join("old"), &options(Format::ALL), &samples::all());
    export_into(&root.path().join("new/deep"), &options(Format::ALL), &samples::all());
    assert_eq!((mode("old"), mode("new"), mode("new/deep")), (0o755, 0o700, 0o700));
    for folder in ["old", "new/deep"] {
        for name in names(&root.path().join(folder)) {
            assert_eq!(mode(&format!("{folder}/{name}")), 0o600, "{folder}/{name}");
        }
    }
}

#[test]
fn a_file_in_place_of_the_folder_is_a_storage_error() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    fs::write(&file, "mine").unwrap();
    for place in [file.clone(), file.join("below")] {
        let error = Export::begin(&place, &options(Format::ALL)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Storage);
        assert!(error.to_string().starts_with("create the output folder: "), "{error}");
        assert_eq!(error.facts(), [("path", place.display().to_string())]);
        assert!(error.hint_text().is_some());
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
}

#[test]
fn a_folder_in_place_of_a_file_is_a_storage_error() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("conversations.json")).unwrap();
    let mut export = Export::begin(root.path(), &options(&[Format::Json])).unwrap();
    add(&mut export, &samples::bare());
    let error = export.finish(state()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(error.to_string().starts_with("write conversations.json: "), "{error}");
    assert_eq!(names(root.path()), ["conversations.json"], "no temporary file and no manifest is left");
}

#[test]
fn an_export_without_a_format_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let error = Export::begin(&root.path().join("new"), &ExportOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert_eq!(error.hint_text(), Some("name one or more of `json`, `jsonl`, `csv`"));
    assert!(names(root.path()).is_empty());
}
