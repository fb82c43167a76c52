//! `chatark demo`: a full export on one machine, from a sandbox and without a network or an account.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use chatark_core::{Error, ErrorKind, Result};
use chatark_formats::{ExportOptions, Format, Manifest};
use chatark_sandbox::{Sandbox, Vendor, World};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{ArchiveFilterArgs, DemoArgs, FilterArgs, PullOptions};
use crate::commands::export::export;
use crate::exit::Exit;
use crate::session::{Failure, Session, runtime};
use crate::ui::{Ui, format_bytes, format_table, with_commas};

/// The first line of a demo's config: a later demo replaces only a file that starts with it.
const FIRST_LINE: &str = "# Written by `chatark demo`; replaced by the next one.";

pub(crate) fn run(args: &DemoArgs, ui: &Ui) -> Result<Exit, Failure> {
    let runtime = runtime()?;
    let failed = |error| Error::new(ErrorKind::Unexpected, "start the sandbox", error);
    let sandbox = runtime.block_on(Sandbox::start(World::sample())).map_err(failed)?;
    let config = write_config(&args.dir, &sandbox)?;
    ui.info("a sandbox of three vendors is running on this machine; no network or account is used");
    let session = Session::open_at(&config)?;
    let filters = FilterArgs { sources: Vec::new(), since: None, until: None, channel: None };
    let filters = ArchiveFilterArgs { common: filters, undated: false };
    let options = ExportOptions { formats: Format::ALL.to_vec(), csv_bom: false, csv_safe: false };
    let folder = args.dir.join("export");
    let (exit, manifest) =
        export(&session, &filters, Some(PullOptions::default()), &folder, &options, ui, false)?;
    if let Some(manifest) = &manifest {
        show_files(&session, manifest, &folder, &config, ui)?;
    }
    if args.serve {
        serve(&runtime, &config, ui)?;
    }
    runtime.block_on(sandbox.stop());
    Ok(exit)
}

/// Prints what the archive holds and where the files are.
fn show_files(
    session: &Session,
    manifest: &Manifest,
    folder: &Path,
    config: &Path,
    ui: &Ui,
) -> Result<(), Failure> {
    let mut rows =
        vec![["source", "provider", "conversations", "messages", "verdict"].map(str::to_owned).to_vec()];
    for source in &manifest.sources {
        rows.push(vec![
            source.source.to_string(),
            source.provider.clone(),
            with_commas(source.conversations),
            with_commas(source.messages),
            source.verdict.clone().unwrap_or_default(),
        ]);
    }
    let mut files = vec![["file", "rows", "size"].map(str::to_owned).to_vec()];
    for file in &manifest.files {
        files.push(vec![
            folder.join(&file.name).display().to_string(),
            with_commas(file.rows),
            format_bytes(file.bytes),
        ]);
    }
    ui.print_line("")?;
    for line in
        format_table(&rows, &[2, 3]).iter().chain([&String::new()]).chain(&format_table(&files, &[1, 2]))
    {
        ui.print_line(line)?;
    }
    ui.print_line("")?;
    ui.print_line(&format!("archive: {}", session.config.archive.display()))?;
    ui.print_line(&format!(
        "try:     chatark --config {} export --offline --channel whatsapp",
        config.display()
    ))?;
    Ok(())
}

/// Keeps the sandbox running until Ctrl-C or SIGTERM.
fn serve(runtime: &tokio::runtime::Runtime, config: &Path, ui: &Ui) -> Result<()> {
    ui.info(&format!(
        "the sandbox keeps running; in another terminal: chatark --config {} check",
        config.display()
    ));
    ui.info("press Ctrl-C to stop it");
    let ended = runtime.block_on(async {
        let mut terminated = signal(SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted,
            _ = terminated.recv() => Ok(()),
        }
    });
    ended.map_err(|error| Error::new(ErrorKind::Unexpected, "wait for Ctrl-C", error))
}

/// Writes a config for the sandbox, whose keys are public.
fn write_config(folder: &Path, sandbox: &Sandbox) -> Result<std::path::PathBuf> {
    let path = folder.join("config.toml");
    let failed = |error: std::io::Error| {
        Error::new(ErrorKind::Storage, "write the demo's config", error)
            .with("path", path.display())
            .hint("choose another folder with `--dir`")
    };
    if fs::read_to_string(&path).is_ok_and(|text| !text.starts_with(FIRST_LINE)) {
        let message = "a config that no demo has written is already there; it was not changed";
        return Err(Error::new(ErrorKind::Usage, "write the demo's config", message)
            .with("path", path.display())
            .hint("choose another folder with `--dir`"));
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    let source = |name: &str, provider: &str, agent: &str, key: &str, vendor: Vendor| {
        format!(
            "\n[[source]]\nname = \"{name}\"\nprovider = \"{provider}\"\nagent_id = \"{agent}\"\n\
             base_url = \"{}\"\napi_key = {{ command = [\"echo\", \"{key}\"] }}\n",
            sandbox.base_url(vendor)
        )
    };
    let text = [
        format!("{FIRST_LINE}\narchive = \"chatark.db\"\n\n[output]\ndir = \"export\"\n"),
        source("shop", "chatbase-v2", World::CHATBASE_V2_AGENT, World::CHATBASE_KEY, Vendor::ChatbaseV2),
        source(
            "shop-legacy",
            "chatbase-v1",
            World::CHATBASE_V1_AGENT,
            World::CHATBASE_KEY,
            Vendor::ChatbaseV1,
        ),
        source("voice", "convocore-v3", World::CONVOCORE_AGENT, World::CONVOCORE_KEY, Vendor::ConvocoreV3),
    ]
    .concat();
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    Ok(path)
}
