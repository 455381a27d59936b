//! Commands over the socket of a running server.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use podmail_jobs::{Stopped, Tasks};
use podmail_server::admin::command::{IssuedKey, LimitChanges, OrganizationCreated};
use podmail_server::admin::{self, AdminCommand, AdminError, AdminErrorKind, AdminOutput, socket};
use podmail_server::config::{Config, Mode};
use podmail_server::lock::DataLock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const DEADLINE: Duration = Duration::from_secs(30);

fn serve(folder: &Path, tasks: &Tasks) {
    socket::serve(folder, tasks, |command| async move {
        let AdminCommand::OrganizationCreate { name, .. } = command else {
            return Err(AdminError::not_found(command.name()));
        };
        let api_key = IssuedKey("secret".to_owned());
        Ok(AdminOutput::OrganizationCreated(OrganizationCreated { organization_id: name, api_key }))
    })
    .expect("a socket can be made in a temporary folder");
}

fn create(name: &str) -> AdminCommand {
    AdminCommand::OrganizationCreate { name: name.to_owned(), limits: LimitChanges::default() }
}

#[tokio::test]
async fn a_command_and_its_answer_travel_over_the_socket() {
    let folder = tempfile::tempdir().unwrap();
    let tasks = Tasks::new();
    serve(folder.path(), &tasks);
    let file = std::fs::metadata(folder.path().join("admin.sock")).unwrap();
    assert!(file.file_type().is_socket());
    assert_eq!(file.permissions().mode() & 0o777, 0o600);

    for name in ["Ünïcode \n name", "other"] {
        let output = socket::call(folder.path(), &create(name)).await.unwrap().unwrap().unwrap();
        let AdminOutput::OrganizationCreated(made) = output else { panic!("{output:?}") };
        assert_eq!((made.organization_id.as_str(), made.api_key.0.as_str()), (name, "secret"));
    }
    let error = socket::call(folder.path(), &AdminCommand::Migrate).await.unwrap().unwrap().unwrap_err();
    assert_eq!(error, AdminError::not_found("migrate"));

    assert_eq!(tasks.shutdown(DEADLINE).await, Stopped::Clean);
    assert!(!folder.path().join("admin.sock").exists());
    assert_eq!(socket::call(folder.path(), &AdminCommand::Migrate).await, Ok(None));
}

#[tokio::test]
async fn a_socket_left_behind_counts_as_no_server_and_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    drop(std::os::unix::net::UnixListener::bind(folder.path().join("admin.sock")).unwrap());
    assert_eq!(socket::call(folder.path(), &AdminCommand::Migrate).await, Ok(None));
    let tasks = Tasks::new();
    serve(folder.path(), &tasks);
    assert!(socket::call(folder.path(), &create("a")).await.unwrap().is_some());
    assert_eq!(tasks.shutdown(DEADLINE).await, Stopped::Clean);
}

#[tokio::test]
async fn a_long_data_folder_has_a_socket_too() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("x".repeat(100)).join("y".repeat(100));
    std::fs::create_dir_all(&deep).unwrap();
    let tasks = Tasks::new();
    serve(&deep, &tasks);
    assert!(socket::call(&deep, &create("a")).await.unwrap().is_some());
    assert_eq!(tasks.shutdown(DEADLINE).await, Stopped::Clean);
}

#[tokio::test]
async fn nonsense_gets_an_error_and_leaves_the_server_running() {
    let folder = tempfile::tempdir().unwrap();
    let tasks = Tasks::new();
    serve(folder.path(), &tasks);
    let endless = vec![b'x'; 80 * 1024];
    for bytes in [&b"{\"command\":\"unheard_of\"}\n"[..], b"[]\n", b"no line end", &endless] {
        let mut stream = tokio::net::UnixStream::connect(folder.path().join("admin.sock")).await.unwrap();
        // The server may answer and close before it has read everything.
        stream.write_all(bytes).await.ok();
        stream.shutdown().await.ok();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok();
        if bytes.len() < endless.len() {
            let invalid = serde_json::to_value(AdminErrorKind::Invalid).unwrap();
            let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
            assert_eq!(answer["error"]["kind"], invalid);
        }
    }
    assert!(socket::call(folder.path(), &create("a")).await.unwrap().is_some());
    assert_eq!(tasks.shutdown(DEADLINE).await, Stopped::Clean);
}

#[tokio::test]
async fn a_command_waits_for_the_server_that_holds_the_folder_to_open_its_socket() {
    let folder = tempfile::tempdir().unwrap();
    let lock = DataLock::acquire(folder.path()).unwrap();
    let mut config = Config::defaults(Mode::Dev);
    config.data_dir = folder.path().to_owned();
    let tasks = Tasks::new();
    let (output, ()) =
        tokio::join!(admin::execute(config, create("a")), async { serve(folder.path(), &tasks) });
    assert!(matches!(output, Ok(AdminOutput::OrganizationCreated(_))), "{output:?}");
    assert_eq!(tasks.shutdown(DEADLINE).await, Stopped::Clean);
    drop(lock);
}
