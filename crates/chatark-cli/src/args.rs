//! The command line as data. Parsing has no side effects; the commands do the work.

use std::path::PathBuf;
use std::time::Duration;

use chatark_archive::{Filter, Subset};
use chatark_core::{Channel, Feedback, SourceName, Status, Timestamp, Window, Zone, time};
use chatark_formats::Format;
use chatark_http::BudgetLimits;
use chatark_target::DataKind;
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

/// One archive for every chatbot you run
#[derive(Debug, Parser)]
#[command(name = "chatark", version, about, max_term_width = 110, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes: 0 complete, 1 unexpected, 2 usage or config, 3 partial or short, 4 nothing archived,\n\
5 transient, 7 permanent, 8 budget reached, 11 locked, 12 archive damaged, 130/143 interrupted (everything fetched is safe)"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Args)]
pub(crate) struct GlobalArgs {
    /// The config file [default: ./config.toml, then ~/.config/chatark/config.toml]
    #[arg(
        long,
        short,
        global = true,
        help_heading = "Global options",
        env = "CHATARK_CONFIG",
        value_name = "FILE"
    )]
    pub(crate) config: Option<PathBuf>,
    /// Print only results and errors
    #[arg(long, short, global = true, help_heading = "Global options")]
    pub(crate) quiet: bool,
    /// Print the result to standard output as one JSON document
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,
    /// Log requests and waits to standard error; twice for more
    #[arg(long, short, global = true, help_heading = "Global options", action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a sandbox of all three vendor APIs, run a full export against it, and show the files
    Demo(DemoArgs),
    /// Write a commented config.toml
    Init(InitArgs),
    /// Check key, plan, region, agent, clock and disk of every source, and say how to fix problems
    Check(CheckArgs),
    /// Estimate what a pull would read and cost, before it starts
    Plan(PlanArgs),
    /// Pull conversations from the vendors into the archive; resumes where it stopped
    Pull(PullArgs),
    /// Pull, then write files
    Export(ExportArgs),
    /// Report on the archive: CSV files, one HTML page, and a summary; asks no vendor
    Report(ReportArgs),
    /// Migrate conversations, people and knowledge to another platform, and report what is lost
    Migrate(MigrateArgs),
    /// Show what the archive holds and how the last pulls ended
    Status,
    /// Verify the archive: structure, hashes, rows and counts; with --live, compare with the vendors' counts
    Verify(VerifyArgs),
    /// List fields and values that Chatark does not know: paths and counts, never values
    Drift(DriftArgs),
    /// Map every archived conversation and contact again, without contacting a vendor
    Rebuild(RebuildArgs),
    /// Print shell completions
    Completions(CompletionsArgs),
}

impl Command {
    /// Returns the name of the command as it is typed.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Demo(_) => "demo",
            Self::Init(_) => "init",
            Self::Check(_) => "check",
            Self::Plan(_) => "plan",
            Self::Pull(_) => "pull",
            Self::Export(_) => "export",
            Self::Report(_) => "report",
            Self::Migrate(_) => "migrate",
            Self::Status => "status",
            Self::Verify(_) => "verify",
            Self::Drift(_) => "drift",
            Self::Rebuild(_) => "rebuild",
            Self::Completions(_) => "completions",
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// The folder for the demo's config, archive and files
    #[arg(long, value_name = "FOLDER", default_value = "chatark-demo")]
    pub(crate) dir: PathBuf,
    /// Keep the sandbox running until Ctrl-C, to try other commands against it
    #[arg(long)]
    pub(crate) serve: bool,
}

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// The file to write
    #[arg(value_name = "FILE", default_value = "config.toml")]
    pub(crate) path: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The sources to check [default: all]
    #[arg(value_name = "SOURCE")]
    pub(crate) sources: Vec<String>,
}

/// Filters of conversations that a pull applies too.
#[derive(Debug, Clone, Args)]
pub(crate) struct FilterArgs {
    /// The sources [default: all]
    #[arg(value_name = "SOURCE")]
    pub(crate) sources: Vec<String>,
    /// Only conversations that began at or after this day (UTC) or RFC 3339 time [default: no limit]
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    pub(crate) since: Option<Timestamp>,
    /// Only conversations that began before this day (UTC) or RFC 3339 time [default: no limit]
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    pub(crate) until: Option<Timestamp>,
    /// Only conversations of this channel, such as `whatsapp`
    #[arg(long, value_parser = parse_channel)]
    pub(crate) channel: Option<Channel>,
}

/// Filters of conversations in the archive.
#[derive(Debug, Clone, Args)]
pub(crate) struct ArchiveFilterArgs {
    #[command(flatten)]
    pub(crate) common: FilterArgs,
    /// With --since or --until, take in conversations without a date
    #[arg(long)]
    pub(crate) undated: bool,
}

impl ArchiveFilterArgs {
    /// Returns the filter that selects conversations of these sources in the archive. No sources mean all of them.
    pub(crate) fn to_filter(&self, sources: Vec<SourceName>) -> chatark_core::Result<Filter> {
        let FilterArgs { since, until, channel, .. } = self.common;
        Ok(Filter { sources, window: Window::new(since, until)?, undated: self.undated, channel })
    }
}

/// Options of a pull; shared by all commands that pull.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct PullOptions {
    /// Read everything again, even what earlier runs have read and what seems unchanged
    #[arg(long)]
    pub(crate) full: bool,
    /// Mark conversations as missing even if they are more than a tenth of a source
    #[arg(long)]
    pub(crate) accept_missing: bool,
    /// Accept gaps, which the vendor cannot give: they stay in `status` and no longer end a pull with code 3
    #[arg(long)]
    pub(crate) accept_gap: bool,
    /// End the run after this many requests; everything fetched is safe
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max_requests: Option<u64>,
    /// End the run after this time, such as `90s`, `10m` or `2h`; everything fetched is safe
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) max_duration: Option<Duration>,
    /// End the run after this many units of a metered quota (convocore-v3); everything fetched is safe
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max_quota: Option<u64>,
}

impl PullOptions {
    /// Returns the budget of the run.
    pub(crate) fn budget(self) -> BudgetLimits {
        BudgetLimits { requests: self.max_requests, quota: self.max_quota, duration: self.max_duration }
    }
}

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) filters: FilterArgs,
    /// Estimate a pull that reads everything again
    #[arg(long)]
    pub(crate) full: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PullArgs {
    #[command(flatten)]
    pub(crate) filters: FilterArgs,
    #[command(flatten)]
    pub(crate) pull_options: PullOptions,
    /// Only the conversations of one customer, by the vendor's user id (chatbase-v2)
    #[arg(long, value_name = "ID", value_parser = parse_user_id, conflicts_with = "conversations")]
    pub(crate) user: Option<String>,
    /// Only this conversation; can be repeated (chatbase-v2, convocore-v3)
    #[arg(long = "conversation", value_name = "ID", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) conversations: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    pub(crate) filters: ArchiveFilterArgs,
    #[command(flatten)]
    pub(crate) pull_options: PullOptions,
    /// Export only what the archive already holds; asks no vendor
    #[arg(long, conflicts_with_all = ["full", "accept_missing", "accept_gap", "max_requests", "max_duration", "max_quota"])]
    pub(crate) offline: bool,
    /// The folder to write to [default: `output.dir` of the config]
    #[arg(long, short, value_name = "FOLDER")]
    pub(crate) output: Option<PathBuf>,
    /// The formats: json, jsonl, csv [default: `output.formats` of the config, else all]
    #[arg(long, short, value_delimiter = ',', value_parser = parse_format)]
    pub(crate) format: Vec<Format>,
    /// Start CSV files with a byte order mark, for spreadsheets
    #[arg(long)]
    pub(crate) csv_bom: bool,
    /// Disarm CSV cells that a spreadsheet would run as a formula
    #[arg(long)]
    pub(crate) csv_safe: bool,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The sources [default: all]
    #[arg(value_name = "SOURCE")]
    pub(crate) sources: Vec<String>,
    /// Verify a share of the archive: 1/7 today, 2/7 tomorrow, and so on
    #[arg(long, value_name = "N/T", value_parser = parse_subset)]
    pub(crate) subset: Option<Subset>,
    /// Ask the vendors how many conversations they have, and compare
    #[arg(long)]
    pub(crate) live: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DriftArgs {
    /// The sources [default: all]
    #[arg(value_name = "SOURCE")]
    pub(crate) sources: Vec<String>,
    /// Also list issues that are not new fields or values, such as times that cannot be read
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ReportArgs {
    #[command(subcommand)]
    pub(crate) action: Option<ReportAction>,
    #[command(flatten)]
    pub(crate) filters: ArchiveFilterArgs,
    /// The IANA time zone of days and hours, such as `Europe/Berlin`
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = parse_zone)]
    pub(crate) timezone: Zone,
    /// The folder to write to
    #[arg(long, short, value_name = "FOLDER", default_value = "report")]
    pub(crate) output: PathBuf,
    /// The period by which metrics are grouped; volume is always listed by day, week and month
    #[arg(long, value_enum, default_value_t = Period::Month)]
    pub(crate) by: Period,
    /// Start CSV files with a byte order mark, for spreadsheets
    #[arg(long)]
    pub(crate) csv_bom: bool,
    /// Disarm CSV cells that a spreadsheet would run as a formula
    #[arg(long)]
    pub(crate) csv_safe: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReportAction {
    /// Compare two sources, such as an old and a new bot, metric by metric
    Compare(CompareArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// The baseline, such as the old bot
    #[arg(long, value_name = "SOURCE")]
    pub(crate) a: String,
    /// The source that is compared with it, such as the new bot
    #[arg(long, value_name = "SOURCE")]
    pub(crate) b: String,
    /// Only conversations that began at or after this day (UTC) or RFC 3339 time [default: no limit]
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    pub(crate) since: Option<Timestamp>,
    /// Only conversations that began before this day (UTC) or RFC 3339 time [default: no limit]
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    pub(crate) until: Option<Timestamp>,
    /// With --since or --until, take in conversations without a date
    #[arg(long)]
    pub(crate) undated: bool,
    /// Only conversations of this channel, such as `whatsapp`
    #[arg(long, value_parser = parse_channel)]
    pub(crate) channel: Option<Channel>,
}

#[derive(Debug, Args)]
pub(crate) struct MigrateArgs {
    #[command(subcommand)]
    pub(crate) action: MigrateAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MigrateAction {
    /// Show what would be migrated and what happens to each field; writes nothing
    Plan(MigratePlanArgs),
    /// Write what the plan shows; resumes where it stopped, and writes nothing twice
    Run(MigrateRunArgs),
    /// Show what was migrated to agents, and where each item went
    Ledger(MigrateLedgerArgs),
    /// Clear the ledger of an agent that was emptied, so that everything can be migrated to it again
    Forget(MigrateForgetArgs),
}

/// What to migrate, and to which target: the arguments of a plan and of its run.
#[derive(Debug, Args)]
pub(crate) struct MigrationArgs {
    /// The sources to migrate; can be repeated [default: all]
    #[arg(long, value_name = "SOURCE", num_args = 1..)]
    pub(crate) from: Vec<String>,
    /// The target: openai-jsonl, sharegpt-jsonl, contacts-csv, questions-csv, vcon or slack-zip for files, or the
    /// name of a source in the config to write to its agent
    #[arg(long, value_name = "TARGET")]
    pub(crate) to: String,
    /// Only this kind of data: history, contacts or knowledge [default: everything that the agent takes]
    #[arg(long, value_name = "KIND", value_parser = parse_data_kind)]
    pub(crate) only: Option<DataKind>,
    /// Write knowledge as a few long texts instead of single questions and answers
    #[arg(long)]
    pub(crate) as_text: bool,
    /// Only conversations that began at or after this day (UTC) or RFC 3339 time [default: no limit]
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    pub(crate) since: Option<Timestamp>,
    /// Only conversations that began before this day (UTC) or RFC 3339 time [default: no limit]
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    pub(crate) until: Option<Timestamp>,
    /// With --since or --until, take in conversations without a date
    #[arg(long)]
    pub(crate) undated: bool,
    /// Only conversations of this channel, such as `whatsapp`
    #[arg(long, value_parser = parse_channel)]
    pub(crate) channel: Option<Channel>,
    /// Only conversations with this status, such as `ended` or `taken_over`
    #[arg(long, value_parser = parse_status)]
    pub(crate) status: Option<Status>,
    /// Only conversations with `positive` or `negative` feedback on the conversation, or else on its messages: one negative message decides
    #[arg(long, value_parser = parse_feedback)]
    pub(crate) feedback: Option<Feedback>,
    /// Only conversations with at least this many messages
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) min_messages: usize,
    /// Only conversations with this tag, such as one that records consent
    #[arg(long)]
    pub(crate) tag: Option<String>,
    /// At most this many conversations, spread evenly
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) sample: Option<u64>,
    /// Also write the loss report as a CSV file
    #[arg(long, value_name = "FILE")]
    pub(crate) loss_csv: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct MigratePlanArgs {
    #[command(flatten)]
    pub(crate) migration: MigrationArgs,
}

#[derive(Debug, Args)]
pub(crate) struct MigrateRunArgs {
    #[command(flatten)]
    pub(crate) migration: MigrationArgs,
    /// Write to the agent without asking for confirmation
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// End the run after this many requests; the ledger keeps what was written
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max_requests: Option<u64>,
    /// End the run after this time, such as `90s`, `10m` or `2h`; the ledger keeps what was written
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) max_duration: Option<Duration>,
    /// The folder to write files to
    #[arg(long, short, value_name = "FOLDER", default_value = "migration")]
    pub(crate) output: PathBuf,
    /// Start CSV files with a byte order mark, for spreadsheets
    #[arg(long)]
    pub(crate) csv_bom: bool,
    /// Disarm CSV cells that a spreadsheet would run as a formula
    #[arg(long)]
    pub(crate) csv_safe: bool,
}

impl MigrateRunArgs {
    /// Returns the budget of the run.
    pub(crate) fn budget(&self) -> BudgetLimits {
        BudgetLimits { requests: self.max_requests, duration: self.max_duration, ..BudgetLimits::default() }
    }
}

#[derive(Debug, Args)]
pub(crate) struct MigrateForgetArgs {
    /// The agent: the name of its source, or provider and agent id as in the ledger
    #[arg(long, value_name = "TARGET")]
    pub(crate) to: String,
    /// Only this kind of data: history, contacts or knowledge [default: all]
    #[arg(long, value_name = "KIND", value_parser = parse_data_kind)]
    pub(crate) only: Option<DataKind>,
    /// Clear without asking for confirmation
    #[arg(long, short)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct MigrateLedgerArgs {
    /// Only conversations of these sources; can be repeated [default: everything]
    #[arg(long, value_name = "SOURCE", num_args = 1..)]
    pub(crate) from: Vec<String>,
    /// Only what went to this agent: the name of its source, or provider and agent id as in the ledger [default: all]
    #[arg(long, value_name = "TARGET")]
    pub(crate) to: Option<String>,
    /// Also write it as a CSV file
    #[arg(long, value_name = "FILE")]
    pub(crate) csv: Option<PathBuf>,
}

/// The period by which metrics are grouped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Period {
    /// A day
    Day,
    /// An ISO week, from Monday
    Week,
    /// A month
    Month,
}

#[derive(Debug, Args)]
pub(crate) struct RebuildArgs {
    /// The sources to rebuild [default: all]
    #[arg(value_name = "SOURCE")]
    pub(crate) sources: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub(crate) shell: Shell,
}

fn parse_date(text: &str) -> Result<Timestamp, String> {
    time::read_bound(text).map_err(|problem| match problem {
        time::TimeProblem::Unreadable => {
            "write a day such as 2026-01-31 or an RFC 3339 time such as 2026-01-31T08:00:00Z".to_owned()
        }
        time::TimeProblem::OutOfRange => "the year must be from 2000 to 2099".to_owned(),
    })
}

fn parse_zone(name: &str) -> Result<Zone, String> {
    name.parse().map_err(|_| "write an IANA time zone such as `Europe/Berlin`".to_owned())
}

fn parse_subset(text: &str) -> Result<Subset, String> {
    text.parse().map_err(|_| "write a subset such as 1/7 or 7/7, with at most 1,000 subsets".to_owned())
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).ok().filter(|duration| !duration.is_zero());
    duration.ok_or_else(|| "write a duration such as 90s, 10m, 2h or 1h 30m".to_owned())
}

fn parse_channel(word: &str) -> Result<Channel, String> {
    let words: Vec<_> = Channel::ALL.iter().map(|channel| channel.as_str()).collect();
    Channel::from_word(word).ok_or_else(|| format!("the channels are {}", words.join(", ")))
}

fn parse_data_kind(word: &str) -> Result<DataKind, String> {
    DataKind::from_word(word).ok_or_else(|| "write `history`, `contacts` or `knowledge`".to_owned())
}

fn parse_status(word: &str) -> Result<Status, String> {
    let words: Vec<_> = Status::ALL.iter().map(|status| status.as_str()).collect();
    Status::from_word(word).ok_or_else(|| format!("the statuses are {}", words.join(", ")))
}

fn parse_feedback(word: &str) -> Result<Feedback, String> {
    Feedback::from_word(word).ok_or_else(|| "write `positive` or `negative`".to_owned())
}

fn parse_format(name: &str) -> Result<Format, String> {
    Format::from_word(name).ok_or_else(|| "the formats are json, jsonl, csv".to_owned())
}

/// Parses a user id by the rule that Chatbase documents, before any request.
fn parse_user_id(text: &str) -> Result<String, String> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    if (1..=128).contains(&text.len()) && text.chars().all(plain) {
        return Ok(text.to_owned());
    }
    Err("a user id has 1 to 128 characters of `a-z A-Z 0-9 . _ -`".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_valid() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_user_id_must_follow_the_documented_rule() {
        assert!(parse_user_id("user_abc-1.2").is_ok() && parse_user_id(&"x".repeat(128)).is_ok());
        for bad in ["", "a b", "a/b", "ä", &"x".repeat(129)] {
            assert!(parse_user_id(bad).is_err(), "{bad}");
        }
    }
}
