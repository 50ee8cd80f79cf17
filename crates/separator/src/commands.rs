//! The commands of the program.
//!
//! Exit codes: 0 fine, 1 the thing asked for failed, 2 wrong usage or settings. Errors go to stderr, one clear sentence.

use std::{
    io::{Read as _, Write as _},
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    calling::{
        address,
        preflight::{Preflight, Verdict},
    },
    doctor,
    identifiers::{Chance, Ids},
    logging,
    outgoing::Outgoing,
    sandbox_command,
    secret::Secret,
    serve::{self, StartError},
    settings::{self, Settings, SettingsArguments},
    store::{Store, audit},
    time::Clock,
    translate::message::Language,
    users::{self, Role, Scope, links},
};

/// WhatsApp Business numbers in the Open Lines of Bitrix24.
#[derive(Debug, Parser)]
#[command(name = "separator", version, after_help = settings::help())]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    Serve {
        #[command(flatten)]
        settings: SettingsArguments,
    },
    /// Run the server together with stand-ins for Meta and Bitrix24 on this machine, on a throw-away data folder
    Sandbox(sandbox_command::Arguments),
    /// Look after users
    User {
        #[command(subcommand)]
        command: UserCommand,
    },
    /// Check everything and say what is wrong and how to mend it; also while the server does not run
    Doctor(DoctorArguments),
    /// Look after keys for the API and for callbacks
    Key {
        #[command(subcommand)]
        command: KeyCommand,
    },
    /// Print the description of the JSON API (OpenAPI), as it is served at /api/openapi.json
    Openapi,
    /// Look at a telephone server as Meta does before it sends a call there; ends with 1 where calls will not arrive
    SipCheck(SipCheck),
}

#[derive(Debug, Args)]
struct SipCheck {
    /// Host name or IP address of the telephone server, with its TLS port where that is not 5061
    #[arg(value_name = "HOST[:PORT]")]
    address: String,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    /// Language of the result: en or ru
    #[arg(long, default_value = "en", value_parser = language)]
    language: Language,
    #[command(flatten)]
    settings: SettingsArguments,
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Create a user; without a password a one-time sign-in link is printed
    Create(UserCreate),
}

#[derive(Debug, Args)]
struct UserCreate {
    /// E-mail address
    #[arg(long)]
    email: String,
    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
    /// admin or integrator
    #[arg(long, default_value = "admin", value_parser = role)]
    role: Role,
    #[command(flatten)]
    settings: SettingsArguments,
}

#[derive(Debug, Args)]
struct DoctorArguments {
    /// Print JSON, as the API shows it
    #[arg(long)]
    json: bool,
    /// Language of the texts: en or ru
    #[arg(long, default_value = "en", value_parser = ["en", "ru"])]
    language: String,
    #[command(flatten)]
    settings: SettingsArguments,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Create a key and print it, alone, once; only its hash is stored
    Create(KeyCreate),
}

#[derive(Debug, Args)]
struct KeyCreate {
    /// E-mail address of the user it belongs to
    #[arg(long)]
    user: String,
    /// manage (the JSON API) or callback (api-key in callback addresses)
    #[arg(long, value_parser = scope)]
    scope: Scope,
    /// What the key is for
    #[arg(long, default_value = "")]
    name: String,
    #[command(flatten)]
    settings: SettingsArguments,
}

fn role(text: &str) -> Result<Role, String> {
    text.parse()
        .map_err(|_| "must be admin or integrator".to_owned())
}

fn scope(text: &str) -> Result<Scope, String> {
    text.parse()
        .map_err(|_| "must be manage or callback".to_owned())
}

fn language(text: &str) -> Result<Language, String> {
    match text {
        "en" => Ok(Language::English),
        "ru" => Ok(Language::Russian),
        _ => Err("must be en or ru".to_owned()),
    }
}

/// Why a command ended badly.
#[derive(Debug)]
enum Failure {
    /// Wrong usage or settings: exit code 2.
    Usage(anyhow::Error),
    /// The thing asked for failed: exit code 1.
    Failed(anyhow::Error),
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        Self::Usage(error.into())
    }
}

/// Runs the command that the arguments of the process name.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return report(&Failure::Failed(error.into())),
    };
    match runtime.block_on(Box::pin(run(arguments.command))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(&failure),
    }
}

fn report(failure: &Failure) -> ExitCode {
    let (error, code) = match failure {
        Failure::Usage(error) => (error, 2),
        Failure::Failed(error) => (error, 1),
    };
    // Where standard error is closed, the exit code still tells.
    let _ = writeln!(std::io::stderr(), "separator: {error:#}");
    ExitCode::from(code)
}

async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve { settings } => {
            let settings = load(&settings)?;
            logging::init(&settings.log, settings.log_format)
                .map_err(|error| Failure::Usage(error.into()))?;
            let stop = stop_on_signal();
            serve::run(settings, stop, |_address| {}).await?;
            Ok(())
        }
        Command::Doctor(arguments) => examine(arguments).await,
        Command::Sandbox(arguments) => sandbox_command::run(arguments, stop_on_signal())
            .await
            .map_err(Failure::Failed),
        Command::User {
            command: UserCommand::Create(user),
        } => create_user(user).await,
        Command::Key {
            command: KeyCommand::Create(key),
        } => create_key(key).await,
        Command::SipCheck(check) => sip_check(check).await,
        Command::Openapi => print(crate::api::openapi()),
    }
}

async fn sip_check(check: SipCheck) -> Result<(), Failure> {
    let address = address::normalise(&check.address, None).map_err(|error| {
        Failure::Usage(anyhow::anyhow!(
            "`{}` {}",
            check.address.escape_debug(),
            error.text(check.language)
        ))
    })?;
    let settings = load(&check.settings)?;
    let outgoing = Outgoing::new(settings.allow_addresses, &[])
        .map_err(|error| Failure::Failed(error.into()))?;
    let preflight = Preflight::new(outgoing, Clock::System, Chance::System);
    let report = preflight.check(&address, None).await;
    print(&if check.json {
        report.to_json(check.language).to_string()
    } else {
        report.to_text(check.language)
    })?;
    if report.verdict() == Verdict::Red {
        return Err(Failure::Failed(anyhow::anyhow!(
            "{address}: {}",
            report.sentence(check.language)
        )));
    }
    Ok(())
}

fn load(arguments: &SettingsArguments) -> Result<Settings, Failure> {
    let folder = std::env::current_dir().map_err(|error| Failure::Usage(error.into()))?;
    Settings::load(arguments, settings::environment(), &folder)
        .map_err(|error| Failure::Usage(error.into()))
}

/// Ends with the first of Ctrl-C and SIGTERM.
fn stop_on_signal() -> CancellationToken {
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = match signal(SignalKind::terminate()) {
            Ok(terminate) => terminate,
            Err(error) => {
                tracing::error!(%error, "SIGTERM cannot be awaited");
                return;
            }
        };
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping");
        token.cancel();
    });
    stop
}

async fn create_user(user: UserCreate) -> Result<(), Failure> {
    let settings = load(&user.settings)?;
    let store = serve::open_store(&settings).await?;
    let password = if user.password_stdin {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| Failure::Failed(error.into()))?;
        Some(Secret::new(text.trim_end_matches(['\r', '\n'])))
    } else {
        None
    };
    let (clock, chance) = (Clock::System, Chance::System);
    let ids = Ids::new(clock.clone(), chance.clone());
    let created = users::create_user(
        &store,
        &clock,
        &ids,
        &chance,
        &user.email,
        password,
        user.role,
    )
    .await
    .map_err(|error| Failure::Failed(error.into()))?;
    let subject = (
        "user",
        created.id.to_string(),
        user.email.trim().to_lowercase(),
    );
    record(
        &store,
        &clock,
        &ids,
        subject,
        &[("role", api_role(user.role))],
    )
    .await?;
    if let Some(token) = created.sign_in_link_token {
        let base = site_address(&store, &settings).await?;
        print(&links::address(&base, &token))?;
    }
    store.close().await;
    Ok(())
}

/// A role in the words of the audit, which are the API's.
fn api_role(role: Role) -> &'static str {
    match role {
        Role::Admin => "administrator",
        Role::Integrator => "integrator",
    }
}

/// Writes down that a command made something.
async fn record(
    store: &Store,
    clock: &Clock,
    ids: &Ids,
    (kind, id, name): (&str, String, String),
    values: &[(&str, &str)],
) -> Result<(), Failure> {
    let changes: Vec<serde_json::Value> = values
        .iter()
        .map(|(field, new)| serde_json::json!({ "field": field, "old": null, "new": new }))
        .collect();
    let line = audit::Line {
        id: ids.next(),
        at: clock.now(),
        user_id: None,
        who: "command line".to_owned(),
        action: "create".to_owned(),
        subject_kind: kind.to_owned(),
        subject_id: id,
        subject_name: name,
        state: audit::State::Done.as_str().to_owned(),
        changes: serde_json::Value::Array(changes).to_string(),
        address: String::new(),
    };
    audit::insert(store, &line)
        .await
        .map_err(|error| Failure::Failed(error.into()))
}

/// Where a person opens the program: the only site there is, else the address it listens on.
async fn site_address(store: &Store, settings: &Settings) -> Result<String, Failure> {
    let sites = crate::store::setup::sites(store)
        .await
        .map_err(|error| Failure::Failed(error.into()))?;
    Ok(match sites.as_slice() {
        [site] => site.base_url(),
        _ => format!("http://{}", settings.listen),
    })
}

/// `separator doctor`: looks at everything by itself, whether the server runs or not.
async fn examine(arguments: DoctorArguments) -> Result<(), Failure> {
    let settings = load(&arguments.settings)?;
    let language = Language::from_code(&arguments.language);
    let tasks = TaskTracker::new();
    // A program that would not start is the first thing to be told.
    let app = serve::build(settings, &tasks)
        .await
        .map_err(|error| Failure::Failed(error.into()))?;
    let report = doctor::examine(&app).await;
    if arguments.json {
        print(&format!("{:#}", report.to_json(language)))?;
    } else {
        print(report.to_text(language).trim_end())?;
    }
    app.store.close().await;
    if report.has_fault() {
        return Err(Failure::Failed(anyhow::anyhow!("something is wrong")));
    }
    Ok(())
}

async fn create_key(key: KeyCreate) -> Result<(), Failure> {
    let settings = load(&key.settings)?;
    let store = serve::open_store(&settings).await?;
    let (clock, chance) = (Clock::System, Chance::System);
    let ids = Ids::new(clock.clone(), chance.clone());
    let made = users::create_key(
        &store, &clock, &ids, &chance, &key.user, key.scope, &key.name,
    )
    .await
    .map_err(|error| Failure::Failed(error.into()))?;
    let values = [("user", key.user.trim()), ("scope", key.scope.as_str())];
    record(
        &store,
        &clock,
        &ids,
        ("key", made.0.to_string(), key.name.trim().to_owned()),
        &values,
    )
    .await?;
    print(made.1.expose())?;
    store.close().await;
    Ok(())
}

fn print(line: &str) -> Result<(), Failure> {
    writeln!(std::io::stdout(), "{line}").map_err(|error| Failure::Failed(error.into()))
}
