//! `kanat user`: users that log in with SCRAM.

use std::io::BufRead;
use std::path::Path;

use kanat_client::{Admin, ScramMechanism, ScramUpsertion};
use kanat_sync::{Error, Result};
use serde_json::json;

use super::client::connect;
use super::outcomes::tell;
use crate::args::{FileArgs, UserArgs, UserCommand};
use crate::output::Rows;
use crate::prompt;

/// Does what the command line asks with users.
pub(super) async fn run(files: &FileArgs, args: &UserArgs) -> Result<()> {
    let client = connect(files, &args.tool.cluster).await?;
    let (admin, json) = (client.admin(), args.tool.json);
    match &args.command {
        UserCommand::List => list(&admin, json).await,
        UserCommand::Set { user, mechanism, iterations, password_file } => {
            let password = match password_file {
                Some(path) => read_password(path).await?,
                None => prompt::secret(&format!("password of {user}: ")).await?,
            };
            if password.is_empty() {
                return Err(Error::kafka(format!("setting user {user}"), "the password is empty"));
            }
            let upsertion =
                ScramUpsertion { iterations: *iterations, ..ScramUpsertion::new(user, *mechanism, password) };
            let outcomes = admin.upsert_scram_users(&[upsertion]).await;
            let outcomes = outcomes.map_err(|error| Error::kafka(format!("setting user {user}"), error))?;
            let outcomes = outcomes.into_iter().map(|(name, outcome)| (format!("user {name}"), outcome));
            tell(json, outcomes, "setting", "set")
        }
        UserCommand::Delete { user, mechanisms } => delete(&admin, user, mechanisms, json).await,
    }
}

async fn list(admin: &Admin, json: bool) -> Result<()> {
    let fail = |error| Error::kafka("listing users", error);
    let mut rows = Rows::new(&["user", "mechanism", "iterations"]);
    for (name, described) in admin.describe_scram_users(None).await.map_err(fail)? {
        for (mechanism, iterations) in described.map_err(fail)?.credentials {
            rows.push(vec![json!(name), json!(mechanism.as_str()), json!(iterations)]);
        }
    }
    rows.show(json, "no users");
    Ok(())
}

async fn delete(admin: &Admin, user: &str, mechanisms: &[ScramMechanism], json: bool) -> Result<()> {
    let fail = |error| Error::kafka(format!("deleting user {user}"), error);
    let mut mechanisms = mechanisms.to_vec();
    if mechanisms.is_empty() {
        for (_, described) in admin.describe_scram_users(Some(&[user])).await.map_err(fail)? {
            let credentials = described.map_err(fail)?.credentials;
            mechanisms.extend(credentials.into_iter().map(|(mechanism, _)| mechanism));
        }
    }
    let mut outcomes = Vec::new();
    for mechanism in mechanisms {
        // A user may be named once a request.
        let deleted = admin.delete_scram_users(&[(user, mechanism)]).await.map_err(fail)?;
        outcomes.extend(deleted.into_iter().map(|(name, outcome)| (format!("{mechanism} of user {name}"), outcome)));
    }
    tell(json, outcomes, "deleting", "deleted")
}

/// The first line of a file, read off the runtime: a pipe can keep it waiting for ever.
async fn read_password(path: &Path) -> Result<String> {
    let path = path.to_owned();
    let read = move || {
        let mut line = String::new();
        let file = std::fs::File::open(&path);
        file.and_then(|file| std::io::BufReader::new(file).read_line(&mut line))
            .map_err(|source| Error::FileUnreadable { path, source })?;
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    };
    let joined = tokio::task::spawn_blocking(read).await;
    joined.unwrap_or_else(|error| Err(Error::Internal { reason: format!("reading the password: {error}") }))
}
