//! The only place that prints: data to standard output, everything else to standard error.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{ErrorKind, IsTerminal, Write as _};
use std::panic::PanicHookInfo;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use chatark_archive::{RunCounts, Verdict};
use chatark_core::{Error, SourceName};
use chatark_engine::{Event, Observer, Outcome};
use chatark_http::{HttpEvent, HttpObserver};
use chatark_migrate::{ItemCounts, MigrationObserver};
use chatark_target::DataKind;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::exit::Exit;

const RED: Style = AnsiColor::Red.on_default().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default().bold();
const GREEN: Style = AnsiColor::Green.on_default();
const CYAN: Style = AnsiColor::Cyan.on_default();
const BOLD: Style = Style::new().bold();

/// The interval of progress lines when there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(10);
/// Waits shorter than this are not shown.
const SHORTEST_WAIT_SHOWN: Duration = Duration::from_millis(900);

/// Prints to the user: results to standard output, everything else to standard error.
#[derive(Debug, Clone)]
pub(crate) struct Ui(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    quiet: bool,
    json: bool,
    bars: Option<MultiProgress>,
    progress_lines: Mutex<HashMap<String, ProgressLine>>,
}

/// The progress that is shown for a source of a pull, or for a data kind of a migration.
#[derive(Debug)]
struct ProgressLine {
    bar: Option<ProgressBar>,
    /// When a line of text was last printed for it; without a terminal, there is no bar.
    printed_at: Instant,
}

/// Prints where Chatark panicked, without the text of the panic, which may contain what people wrote.
pub(crate) fn print_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    // If standard error is closed, there is nowhere to report that.
    let _ = writeln!(
        anstream::stderr().lock(),
        "{RED}error{RED:#}: Chatark panicked at {place}; please report this"
    );
}

/// How serious the content of a line is, shown as a word at its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    Ok,
    Warning,
    Failure,
}

impl Ui {
    pub(crate) fn new(quiet: bool, json: bool) -> Self {
        let terminal = std::io::stderr().is_terminal() && !quiet;
        let bars = terminal.then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10)));
        Self(Arc::new(Inner { quiet, json, bars, progress_lines: Mutex::default() }))
    }

    /// Prints information for the user; nothing with `--quiet`.
    pub(crate) fn info(&self, text: &str) {
        if !self.0.quiet {
            self.print_to_stderr(text);
        }
    }

    /// Prints a warning: something went wrong, and the command continues.
    pub(crate) fn warn(&self, text: &str) {
        if !self.0.quiet {
            self.print_to_stderr(&format!("{YELLOW}warning{YELLOW:#}: {text}"));
        }
    }

    /// Prints an error that ended the command or one of its sources, with its hint.
    pub(crate) fn error(&self, error: &Error, verbose: bool) {
        let mut text = format!("{RED}error{RED:#}: {error}");
        if let (true, Some(cause)) = (verbose, std::error::Error::source(error)) {
            let _ = write!(text, "\n  because: {cause}");
        }
        if let Some(hint) = error.hint_text() {
            let _ = write!(text, "\n{CYAN}hint{CYAN:#}: {hint}");
        }
        self.print_to_stderr(&text);
    }

    /// Prints the next step after an earlier message.
    pub(crate) fn hint(&self, text: &str) {
        if !self.0.quiet {
            self.print_to_stderr(&format!("{CYAN}hint{CYAN:#}: {text}"));
        }
    }

    /// Asks a question on the terminal, and returns whether the answer is yes.
    pub(crate) fn ask_yes_no(&self, question: &str) -> bool {
        let mut answer = String::new();
        let mut ask = || {
            let _ = write!(anstream::stderr().lock(), "{question}");
            std::io::stdin().read_line(&mut answer).is_ok()
        };
        let is_answered = match &self.0.bars {
            Some(bars) => bars.suspend(ask),
            None => ask(),
        };
        is_answered && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
    }

    /// Prints how many conversations `--since` and `--until` leave out because they have no date.
    pub(crate) fn info_undated(&self, left_out: u64) {
        let are = noun(left_out, "is", "are");
        if left_out > 0 {
            self.info(&format!(
                "{} without a date {are} left out; `--undated` takes them in",
                with_commas(left_out)
            ));
        }
    }

    /// Prints one mistake of the config.
    pub(crate) fn config_mistake(&self, line: &str) {
        self.print_to_stderr(&format!("{RED}error{RED:#}: {line}"));
    }

    /// Prints a line of human-readable data to standard output; nothing with `--json`.
    pub(crate) fn print_line(&self, text: &str) -> std::io::Result<()> {
        if self.0.json {
            return Ok(());
        }
        self.print(text)
    }

    /// Prints the result to standard output as one JSON document; only with `--json`.
    ///
    /// It is the last output, so a closed pipe does not change the exit code.
    pub(crate) fn print_result(&self, result: &impl Serialize) -> std::io::Result<()> {
        if !self.0.json {
            return Ok(());
        }
        match self.print(&serde_json::to_string_pretty(result)?) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            printed => printed,
        }
    }

    /// Prints data to standard output, unchanged.
    pub(crate) fn print(&self, text: &str) -> std::io::Result<()> {
        let print = || {
            let mut out = anstream::stdout().lock();
            writeln!(out, "{text}")?;
            out.flush()
        };
        match &self.0.bars {
            Some(bars) => bars.suspend(print),
            None => print(),
        }
    }

    fn print_to_stderr(&self, text: &str) {
        let print = || {
            // If standard error is closed, there is nowhere to report that.
            let _ = writeln!(anstream::stderr().lock(), "{text}");
        };
        match &self.0.bars {
            Some(bars) => bars.suspend(print),
            None => print(),
        }
    }

    fn progress_lines(&self) -> MutexGuard<'_, HashMap<String, ProgressLine>> {
        self.0.progress_lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start_progress(&self, name: &str) {
        let bar = self.0.bars.as_ref().map(|bars| {
            let bar = bars.add(ProgressBar::new_spinner().with_style(spinner_style()));
            bar.set_prefix(name.to_owned());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        self.progress_lines().insert(name.to_owned(), ProgressLine { bar, printed_at: Instant::now() });
    }

    fn show_pull_progress(&self, source: &str, progress: &RunCounts) {
        let mut lines = self.progress_lines();
        let Some(line) = lines.get_mut(source) else { return };
        let pages = counted(progress.page.pages, "page", "pages");
        if let Some(bar) = &line.bar {
            if let Some(total) = progress.total_last.filter(|total| *total > 0) {
                bar.set_style(bar_style());
                bar.set_length(total.max(progress.seen));
            }
            bar.set_position(progress.seen);
            bar.set_message(pages);
            return;
        }
        if line.printed_at.elapsed() >= LINE_INTERVAL {
            line.printed_at = Instant::now();
            drop(lines);
            self.info(&format!("{source}: {}, {pages}", conversations_of_total(progress)));
        }
    }

    /// Removes the progress bars of a migration.
    pub(crate) fn end_migration(&self) {
        for kind in DataKind::ALL {
            self.end_progress(kind.as_str());
        }
    }

    fn end_progress(&self, name: &str) {
        if let Some(ProgressLine { bar: Some(bar), .. }) = self.progress_lines().remove(name) {
            bar.finish_and_clear();
        }
    }
}

impl Observer for Ui {
    fn on_event(&self, source: &SourceName, event: &Event<'_>) {
        let name = source.as_str();
        match event {
            Event::Started { resumed_from, recent_since } => {
                self.start_progress(name);
                if let Some(since) = recent_since {
                    let day = since.day();
                    self.info(&format!(
                        "{name}: reading conversations that began since {day}; `--full` reads everything"
                    ));
                }
                if let Some(at) = resumed_from {
                    self.info(&format!("{name}: resuming where an earlier run stopped, saved {at}"));
                }
            }
            Event::Note(note) => self.info(&format!("{name}: {note}")),
            Event::Committed(progress) => self.show_pull_progress(name, progress),
            Event::Ended(outcome) => {
                self.end_progress(name);
                self.info(&outcome_line(outcome));
            }
            _ => {}
        }
    }
}

impl MigrationObserver for Ui {
    fn on_progress(&self, kind: DataKind, counts: &ItemCounts) {
        let name = kind.as_str();
        let is_new = !self.progress_lines().contains_key(name);
        if is_new {
            self.start_progress(name);
        }
        let mut lines = self.progress_lines();
        let Some(line) = lines.get_mut(name) else { return };
        if let Some(bar) = &line.bar {
            bar.set_style(migration_style());
            bar.set_position(counts.written);
        } else if line.printed_at.elapsed() >= LINE_INTERVAL {
            line.printed_at = Instant::now();
            drop(lines);
            self.info(&format!("{name}: {} written", with_commas(counts.written)));
        }
    }
}

impl HttpObserver for Ui {
    fn on_event(&self, source: &str, event: &HttpEvent) {
        if let HttpEvent::Waiting { reason, wait } = event
            && *wait >= SHORTEST_WAIT_SHOWN
        {
            self.info(&format!("{source}: waiting {:.0} s: {reason}", wait.as_secs_f64().ceil()));
        }
    }
}

/// Returns the summary of a pull or a rebuild of one source: its counts and its verdict.
fn outcome_line(outcome: &Outcome) -> String {
    let progress = &outcome.progress;
    let mut text = format!(
        "{}: {} seen, {} new, {} changed, {} unchanged",
        outcome.source,
        conversations_of_total(progress),
        with_commas(progress.added),
        with_commas(progress.changed),
        with_commas(progress.unchanged),
    );
    for (number, what) in [
        (progress.outside, "outside the selection"),
        (progress.repeated, "repeated"),
        (progress.page.skipped, "left out by the vendor"),
        (progress.unreadable, "unreadable"),
        (progress.missing, "no longer shown by the vendor"),
        (progress.returned, "shown again"),
    ] {
        append_count(&mut text, number, what);
    }
    if let Some(contacts) = &outcome.contacts() {
        text.push_str(&contacts_summary(contacts));
    }
    let issues = outcome.issues();
    append_count(&mut text, issues, noun(issues, "issue", "issues"));
    let verdict = outcome.verdict.as_str();
    match outcome.verdict {
        _ if outcome.is_good() => format!("{}{text}: {BOLD}{verdict}{BOLD:#}", label(Severity::Ok)),
        Verdict::Budget => format!("{}{text}: {BOLD}{verdict}{BOLD:#}", label(Severity::Warning)),
        _ => format!("{}{}", label(Severity::Failure), red(&format!("{text}: {verdict}"))),
    }
}

/// Returns how many conversations were seen, such as `2 of 5 conversations`, or `2 conversations` without a total.
fn conversations_of_total(progress: &RunCounts) -> String {
    match progress.total_last {
        Some(total) => {
            format!("{} of {}", with_commas(progress.seen), counted(total, "conversation", "conversations"))
        }
        None => counted(progress.seen, "conversation", "conversations"),
    }
}

fn append_count(text: &mut String, number: u64, what: &str) {
    if number > 0 {
        let _ = write!(text, ", {} {what}", with_commas(number));
    }
}

/// Returns the summary of listed contacts, such as `, 12 contacts (3 new)`.
fn contacts_summary(contacts: &RunCounts) -> String {
    let mut text = format!(", {}", counted(contacts.seen, "contact", "contacts"));
    let numbers =
        [(contacts.added, "new"), (contacts.changed, "changed"), (contacts.unreadable, "unreadable")];
    let details: Vec<_> = numbers
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| format!("{} {what}", with_commas(*number)))
        .collect();
    if !details.is_empty() {
        let _ = write!(text, " ({})", details.join(", "));
    }
    text
}

/// Returns a text in red.
pub(crate) fn red(text: &str) -> String {
    format!("{RED}{text}{RED:#}")
}

/// Returns the coloured word at the start of a line, padded so that lines align.
pub(crate) fn label(severity: Severity) -> String {
    match severity {
        Severity::Ok => format!("{GREEN}ok{GREEN:#}    "),
        Severity::Warning => format!("{YELLOW}warn{YELLOW:#}  "),
        Severity::Failure => format!("{RED}FAIL{RED:#}  "),
    }
}

/// Returns a number and its noun, such as `1 item` or `1,234 items`.
pub(crate) fn counted(number: u64, singular: &str, plural: &str) -> String {
    format!("{} {}", with_commas(number), noun(number, singular, plural))
}

fn noun<'a>(number: u64, singular: &'a str, plural: &'a str) -> &'a str {
    if number == 1 { singular } else { plural }
}

/// Returns a number with commas between thousands.
pub(crate) fn with_commas(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns a number of bytes in a suitable decimal unit, such as `1.5 kB`.
pub(crate) fn format_bytes(number: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let mut size = number as f64;
    let mut unit = 0;
    while size >= 999.5 && unit + 1 < units.len() {
        size /= 1_000.0;
        unit += 1;
    }
    let decimals = usize::from(unit > 0 && size < 99.5);
    format!("{size:.decimals$} {}", units[unit])
}

/// Returns a chart of one line. If there are too many numbers, neighbours are added up to one column.
pub(crate) fn sparkline(numbers: &[u64]) -> String {
    const COLUMNS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    const MAX_WIDTH: usize = 60;
    let chunk_length = numbers.len().div_ceil(MAX_WIDTH).max(1);
    let sums: Vec<u64> = numbers.chunks(chunk_length).map(|chunk| chunk.iter().sum()).collect();
    let max = sums.iter().copied().max().unwrap_or(0).max(1);
    let column = |sum: &u64| COLUMNS[usize::try_from(sum * 7 / max).unwrap_or(7).min(7)];
    sums.iter().map(column).collect()
}

/// Aligns rows in columns; the first row is the heading. `right` lists the columns that are aligned to the right.
pub(crate) fn format_table(rows: &[Vec<String>], right: &[usize]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    let format_row = |row: &Vec<String>| {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let padding = widths[column] - cell.chars().count();
            let gap = if column + 1 < row.len() { "  " } else { "" };
            let (before, after) = if right.contains(&column) { (padding, 0) } else { (0, padding) };
            let _ = write!(line, "{}{cell}{}{gap}", " ".repeat(before), " ".repeat(after));
        }
        line.trim_end().to_owned()
    };
    let mut lines: Vec<_> = rows.iter().map(format_row).collect();
    if let Some(heading) = lines.first_mut() {
        *heading = format!("{BOLD}{heading}{BOLD:#}");
    }
    lines
}

/// An error in JSON.
#[derive(Debug, Serialize)]
struct ErrorDetails {
    operation: &'static str,
    message: String,
    hint: Option<String>,
    exit_code: u8,
    mistakes: Vec<String>,
}

/// The JSON result of a command that ends with an error.
#[derive(Debug, Serialize)]
pub(crate) struct ErrorResult {
    error: ErrorDetails,
}

impl ErrorResult {
    pub(crate) fn new(command: &'static str, error: &Error, exit: Exit, mistakes: Vec<String>) -> Self {
        let error = ErrorDetails {
            operation: command,
            message: error.to_string(),
            hint: error.hint_text().map(str::to_owned),
            exit_code: exit.code(),
            mistakes,
        };
        Self { error }
    }
}

fn spinner_style() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {prefix:<16} {pos:>9} conversations  {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn migration_style() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {prefix:<16} {pos:>9} written")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn bar_style() -> ProgressStyle {
    ProgressStyle::with_template("  {prefix:<16} {bar:30} {pos:>9}/{len} conversations  {msg}  {eta}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// The next test runs this one in its own process, because a panic hook belongs to the whole process.
    #[test]
    #[ignore = "run by `a_panic_is_reported_without_its_text`"]
    fn panics_with_what_somebody_wrote() {
        std::panic::set_hook(Box::new(print_panic));
        std::thread::spawn(|| panic!("the key is {}", "sk-secret")).join().unwrap_err();
    }

    #[test]
    fn a_panic_is_reported_without_its_text() {
        let test = ["ui::tests::panics_with_what_somebody_wrote", "--exact", "--ignored", "--nocapture"];
        let run = Command::new(std::env::current_exe().unwrap())
            .args(test)
            .env("RUST_BACKTRACE", "full")
            .output()
            .unwrap();
        let (out, error) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
        assert!(run.status.success() && out.contains("1 passed"), "{out} {error}");
        assert!(error.contains("Chatark panicked at") && error.contains("ui.rs:"), "{error}");
        assert!(
            error.contains("please report this") && !format!("{out}{error}").contains("sk-secret"),
            "{error}"
        );
    }

    #[test]
    fn contacts_are_summed_up() {
        let contacts = |seen, added, changed| RunCounts { seen, added, changed, ..RunCounts::default() };
        for (contacts, expect) in [
            (contacts(0, 0, 0), ", 0 contacts"),
            (contacts(1, 1, 0), ", 1 contact (1 new)"),
            (contacts(1_200, 3, 2), ", 1,200 contacts (3 new, 2 changed)"),
            (contacts(12, 0, 0), ", 12 contacts"),
        ] {
            assert_eq!(contacts_summary(&contacts), expect);
        }
    }

    #[test]
    fn a_noun_is_singular_only_after_one() {
        for (number, expect) in [(0, "0 units"), (1, "1 unit"), (2, "2 units"), (1_000, "1,000 units")] {
            assert_eq!(counted(number, "unit", "units"), expect);
        }
    }

    #[test]
    fn a_total_decides_between_one_conversation_and_several() {
        for (seen, total_last, expect) in [
            (1, None, "1 conversation"),
            (2, None, "2 conversations"),
            (0, Some(1), "0 of 1 conversation"),
            (1, Some(2), "1 of 2 conversations"),
        ] {
            let progress = RunCounts { seen, total_last, ..RunCounts::default() };
            assert_eq!(conversations_of_total(&progress), expect);
        }
    }

    #[test]
    fn numbers_and_sizes_are_readable() {
        let numbers = [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")];
        for (number, expect) in numbers {
            assert_eq!(with_commas(number), expect);
        }
        for (number, expect) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_500, "1.5 kB"),
            (99_600, "100 kB"),
            (29_000_000, "29.0 MB"),
            (999_600, "1.0 MB"),
        ] {
            assert_eq!(format_bytes(number), expect);
        }
    }
}
