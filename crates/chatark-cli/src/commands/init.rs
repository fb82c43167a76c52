//! `chatark init`: writes a commented config to fill in.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use chatark_core::{Error, ErrorKind};
use serde::Serialize;

use crate::args::InitArgs;
use crate::config;
use crate::exit::Exit;
use crate::session::Failure;
use crate::ui::Ui;

#[derive(Serialize)]
struct Written {
    config: String,
}

pub(crate) fn run(args: &InitArgs, ui: &Ui) -> Result<Exit, Failure> {
    let path = &args.path;
    let failed = |error: std::io::Error| {
        let hint = if error.kind() == std::io::ErrorKind::AlreadyExists {
            "it is left as it is; name another path, or remove it first"
        } else {
            "check that the folder exists and is writable"
        };
        Error::new(ErrorKind::Usage, "write the config", error).with("path", path.display()).hint(hint)
    };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(config::EXAMPLE.as_bytes()).map_err(failed)?;
    ui.info(&format!("wrote {}: fill in the agents, set the keys, then run `chatark check`", path.display()));
    ui.print_result(&Written { config: path.display().to_string() })?;
    Ok(Exit::Complete)
}
