//! The asking end of the control socket.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Answer, Command, LogLine, Request, VERSION};

/// How long a daemon may take to answer; it is at most looking up a name.
const PATIENCE: Duration = Duration::from_secs(15);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there, or it may not be asked.
    #[error("cannot reach chimed at {path}: {error}{}", hint(error))]
    Connect {
        /// Where.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The daemon was lost while it was asked.
    #[error("chimed at {path} did not answer: {}", reason(error))]
    Lost {
        /// Where.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The daemon has gone while it was followed.
    #[error("chimed at {0} has ended")]
    Ended(PathBuf),
    /// The answer is not one.
    #[error("chimed's answer is not understood: {0}")]
    Answer(serde_json::Error),
    /// The daemon refused.
    #[error("chimed refused: {0}")]
    Refused(String),
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock => format!("nothing came within {} s", PATIENCE.as_secs()),
        _ => error.to_string(),
    }
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            "; is it running, and with this `control` path?"
        }
        io::ErrorKind::PermissionDenied => "; its owner and group may ask",
        _ => "",
    }
}

/// Asks the daemon whose control socket is at `path`.
///
/// # Errors
/// It cannot be reached, or refused.
pub fn ask(path: &Path, command: Command) -> Result<Answer, ClientError> {
    let stream = request(path, command)?;
    let line = BufReader::new(stream).lines().next();
    let lost = |error| ClientError::Lost { path: path.to_owned(), error };
    parse(&line.unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into())).map_err(lost)?)
}

/// The log's lines, and each further one when it comes.
///
/// # Errors
/// It cannot be reached, or refused.
pub fn follow(
    path: &Path,
) -> Result<impl Iterator<Item = Result<Vec<LogLine>, ClientError>>, ClientError> {
    let stream = request(path, Command::FollowLog)?;
    let lost = |error| ClientError::Lost { path: path.to_owned(), error };
    stream.set_read_timeout(None).map_err(lost)?;
    let answers =
        BufReader::new(stream).lines().map(move |line| match parse(&line.map_err(lost)?)? {
            Answer::Log(lines) => Ok(lines),
            _ => Err(lost(io::ErrorKind::InvalidData.into())),
        });
    Ok(answers.chain(std::iter::once_with(|| Err(ClientError::Ended(path.to_owned())))))
}

fn request(path: &Path, command: Command) -> Result<UnixStream, ClientError> {
    let mut stream = UnixStream::connect(path)
        .map_err(|error| ClientError::Connect { path: path.to_owned(), error })?;
    let lost = |error| ClientError::Lost { path: path.to_owned(), error };
    stream.set_read_timeout(Some(PATIENCE)).map_err(lost)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(lost)?;
    let request = Request { version: VERSION, command };
    let mut request = serde_json::to_vec(&request).map_err(ClientError::Answer)?;
    request.push(b'\n');
    stream.write_all(&request).map_err(lost)?;
    Ok(stream)
}

fn parse(line: &str) -> Result<Answer, ClientError> {
    match serde_json::from_str(line).map_err(ClientError::Answer)? {
        Answer::Error(text) => Err(ClientError::Refused(text)),
        answer => Ok(answer),
    }
}
