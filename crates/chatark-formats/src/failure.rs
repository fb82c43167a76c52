//! Turns I/O errors of files and folders into errors with a path and a hint.

use std::io::{self, ErrorKind as Io};
use std::path::Path;

use chatark_core::{Error, ErrorKind};

/// Turns an I/O error into an error with the path and a hint.
pub(crate) fn storage_error(operation: String, path: &Path, error: io::Error) -> Error {
    // The name of an error kind is short and does not contain the temporary file name. Unknown kinds have no useful
    // name.
    let message = match error.kind() {
        Io::Other => error.to_string(),
        kind => match kind.to_string() {
            word if word == "uncategorized error" => error.to_string(),
            word => word,
        },
    };
    Error::new(ErrorKind::Storage, operation, message)
        .with("path", path.display())
        .hint(hint(error.kind()))
        .because(error)
}

fn hint(kind: Io) -> &'static str {
    match kind {
        Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => {
            "free some space or choose another folder with `--output`"
        }
        Io::PermissionDenied | Io::ReadOnlyFilesystem => "choose a writable folder with `--output`",
        Io::AlreadyExists | Io::NotADirectory | Io::IsADirectory | Io::DirectoryNotEmpty => {
            "move the file or folder of that name away or choose another folder with `--output`"
        }
        _ => "check the disk and the permissions of the folder or choose another one with `--output`",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(error: impl Into<io::Error>, line: &str, hint: &str) {
        let error = storage_error(
            "write conversations.csv".to_owned(),
            Path::new("out/conversations.csv"),
            error.into(),
        );
        assert_eq!(error.kind(), ErrorKind::Storage);
        assert_eq!(
            error.to_string(),
            format!("write conversations.csv: {line} (path=out/conversations.csv)")
        );
        assert_eq!(error.hint_text(), Some(hint));
    }

    #[test]
    fn every_error_names_the_next_step() {
        let full = "free some space or choose another folder with `--output`";
        check(Io::StorageFull, "no storage space", full);
        check(Io::QuotaExceeded, "quota exceeded", full);
        let rights = "choose a writable folder with `--output`";
        check(Io::PermissionDenied, "permission denied", rights);
        check(Io::ReadOnlyFilesystem, "read-only filesystem or storage medium", rights);
        let blocked = "move the file or folder of that name away or choose another folder with `--output`";
        check(Io::IsADirectory, "is a directory", blocked);
        let unknown =
            "check the disk and the permissions of the folder or choose another one with `--output`";
        check(io::Error::other("the tape is torn"), "the tape is torn", unknown);
    }

    #[cfg(unix)]
    #[test]
    fn an_error_of_unknown_kind_keeps_the_text_of_the_system() {
        // EIO, the error of a dying disk.
        let error = storage_error("write x".to_owned(), Path::new("x"), io::Error::from_raw_os_error(5));
        assert!(error.message().contains("os error 5"), "{error}");
    }
}
