//! Where an API key comes from: an environment variable, a file, or a command. The config itself never contains a key.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use chatark_core::{Error, ErrorKind, Result};
use chatark_http::SecretString;

/// Where the API key of a source comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeyLocation {
    /// An environment variable.
    Environment(String),
    /// A file that contains only the key.
    File(PathBuf),
    /// A program that prints the key, and its arguments.
    Command(Vec<String>),
}

impl KeyLocation {
    /// Fetches the key. Errors name the location, never its content.
    pub(crate) fn resolve(&self) -> Result<SecretString> {
        let (text, location) = match self {
            Self::Environment(name) => (from_environment(name)?, format!("the variable `{name}`")),
            Self::File(path) => (from_file(path)?, format!("the file `{}`", path.display())),
            Self::Command(words) => (from_command(words)?, format!("the command `{}`", program(words))),
        };
        let key = text.trim();
        if key.is_empty() {
            return Err(key_error(format!("{location} is empty")));
        }
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(key_error(format!(
                "{location} contains spaces or other characters that a key cannot have"
            )));
        }
        Ok(key.to_owned().into())
    }

    /// Returns a warning if other users of this machine can read the key.
    pub(crate) fn permission_warning(&self) -> Option<String> {
        use std::os::unix::fs::PermissionsExt;
        let Self::File(path) = self else { return None };
        let mode = path.metadata().ok()?.permissions().mode();
        (mode & 0o077 != 0).then(|| {
            format!(
                "other users can read the key in `{}`; run `chmod 600 {}`",
                path.display(),
                path.display()
            )
        })
    }
}

fn from_environment(name: &str) -> Result<String> {
    std::env::var(name).map_err(|_| {
        key_error(format!("the variable `{name}` is not set")).hint(format!("run `export {name}=…` first"))
    })
}

fn from_file(path: &Path) -> Result<String> {
    let failed = |error| key_error(format!("the file `{}` cannot be read: {error}", path.display()));
    std::fs::read_to_string(path).map_err(failed)
}

fn from_command(words: &[String]) -> Result<String> {
    let (name, arguments) =
        words.split_first().ok_or_else(|| key_error("the command is empty".to_owned()))?;
    let output = Command::new(name)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| key_error(format!("the command `{name}` cannot be run: {error}")))?;
    if !output.status.success() {
        return Err(key_error(format!("the command `{name}` failed: {}", output.status)));
    }
    String::from_utf8(output.stdout)
        .map_err(|_| key_error(format!("the command `{name}` printed something that is not text")))
}

fn program(words: &[String]) -> &str {
    words.first().map_or("", String::as_str)
}

fn key_error(message: String) -> Error {
    Error::new(ErrorKind::Usage, "fetch the key", message)
}

#[cfg(test)]
mod tests {
    use chatark_core::ErrorKind;

    use super::*;

    #[test]
    fn a_key_comes_from_a_file_or_a_command() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "  sk-1234\n").unwrap();
        assert!(KeyLocation::File(path.clone()).resolve().is_ok());
        let words = |words: &[&str]| KeyLocation::Command(words.iter().map(ToString::to_string).collect());
        assert!(words(&["echo", "sk-1234"]).resolve().is_ok());
        let source = words(&["sh", "-c", "echo sk-1234; exit 3"]);
        let error = source.resolve().unwrap_err();
        assert_eq!(error.message(), "the command `sh` failed: exit status: 3");
        std::fs::write(&path, "sk 1234").unwrap();
        let error = KeyLocation::File(path).resolve().unwrap_err();
        assert!(!error.to_string().contains("1234") && error.kind() == ErrorKind::Usage);
        let unset = KeyLocation::Environment("CHATARK_NO_SUCH_VARIABLE".to_owned()).resolve().unwrap_err();
        assert!(unset.message().contains("CHATARK_NO_SUCH_VARIABLE"));
        let absent = words(&["chatark-no-such-program"]).resolve().unwrap_err();
        assert!(absent.message().contains("cannot be run"));
    }
}
