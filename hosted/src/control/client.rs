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
    #[error("chimed at {path} did not answer: {error}")]
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

impl ClientError {
    /// Whether it may be otherwise in a moment: the daemon is not there yet, or busy.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        use io::ErrorKind::{ConnectionRefused, NotFound};
        match self {
            Self::Connect { error, .. } => matches!(error.kind(), NotFound | ConnectionRefused),
            Self::Lost { .. } => true,
            Self::Ended(_) | Self::Answer(_) | Self::Refused(_) => false,
        }
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
    ask_within(PATIENCE, path, command)
}

/// As [`ask`], but the daemon may take no longer than `patience`, if that is less than usual.
pub(crate) fn ask_within(
    patience: Duration,
    path: &Path,
    command: Command,
) -> Result<Answer, ClientError> {
    let stream = request(patience, path, command)?;
    let line = BufReader::new(stream).lines().next();
    let line = line.unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()));
    parse(&line.map_err(lost(patience, path))?)
}

/// The log's lines, and each further one when it comes.
///
/// # Errors
/// It cannot be reached, or refused.
pub fn follow(
    path: &Path,
) -> Result<impl Iterator<Item = Result<Vec<LogLine>, ClientError>>, ClientError> {
    let stream = request(PATIENCE, path, Command::FollowLog)?;
    let lost = lost(PATIENCE, path);
    stream.set_read_timeout(None).map_err(lost)?;
    let answers =
        BufReader::new(stream).lines().map(move |line| match parse(&line.map_err(lost)?)? {
            Answer::Log(lines) => Ok(lines),
            _ => Err(lost(io::ErrorKind::InvalidData.into())),
        });
    Ok(answers.chain(std::iter::once_with(|| Err(ClientError::Ended(path.to_owned())))))
}

fn lost(patience: Duration, path: &Path) -> impl Fn(io::Error) -> ClientError + Copy {
    move |error| {
        let error = match error.kind() {
            io::ErrorKind::WouldBlock => {
                let patience = limited(patience).as_secs_f64();
                io::Error::other(format!("nothing came within {patience} s"))
            }
            _ => error,
        };
        ClientError::Lost { path: path.to_owned(), error }
    }
}

/// Nothing at all would be for ever.
fn limited(patience: Duration) -> Duration {
    patience.clamp(Duration::from_millis(1), PATIENCE)
}

fn request(patience: Duration, path: &Path, command: Command) -> Result<UnixStream, ClientError> {
    let mut stream = UnixStream::connect(path)
        .map_err(|error| ClientError::Connect { path: path.to_owned(), error })?;
    let lost = lost(patience, path);
    stream.set_read_timeout(Some(limited(patience))).map_err(lost)?;
    stream.set_write_timeout(Some(limited(patience))).map_err(lost)?;
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
