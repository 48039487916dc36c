//! The router's programs for HTTPS, the best first, and how each is asked.
//!
//! | | curl | GNU wget | uclient-fetch |
//! | --- | --- | --- | --- |
//! | unchanged? | `ETag` and `Last-Modified` | the same | own clock: it does not show what the server said |
//! | redirections | followed by it, from HTTPS to HTTPS alone | by us, for it cannot forbid plain HTTP | by us where HTTPS began |
//! | login | its configuration | its configuration | only on its command line, for all to see: refused |
//! | cut in chunks | it tells | taken for whole | taken for whole |
//!
//! BusyBox's wget checks no certificates and does not count. Nothing that an owner keeps secret is in a
//! command line: a configuration is handed over as a file without a name, in memory.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::net::unix::pipe::Receiver;

use super::address::is_secure;
use super::{Pass, Validators};
use crate::programs::{self, Guarded};

/// Seconds after which a program gives up a server that does not answer.
const PATIENCE: &str = "30";
/// Ask for what is packed, unpacked by whoever reads it: by no program, for not each has it built in.
const PACKED: &str = "Accept-Encoding: gzip";

/// A program.
#[derive(Debug)]
pub struct Program {
    kind: Kind,
    /// Its name.
    pub name: &'static str,
    /// What stands behind the name: another program may be known by it.
    real: &'static [&'static str],
    arguments: &'static [&'static str],
    /// Before each line of an answer's head that it shows; `None`: it shows none.
    pub indent: Option<&'static str>,
    /// An exit status, and what it says of the server.
    words: &'static [(&'static [i32], &'static str)],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Curl,
    Wget,
    Uclient,
}

const UNREACHABLE: &str = "cannot be reached";
const DISTRUSTED: &str = "could not prove who it is";
const CUT: &str = "sent an answer that was cut";

static PROGRAMS: [Program; 3] = [
    Program {
        kind: Kind::Curl,
        name: "curl",
        real: &["curl"],
        arguments: &[
            // First, or it reads its own file.
            "--disable",
            // What trickles is not silent.
            "--no-buffer",
            "--silent",
            "--show-error",
            "--fail",
            "--globoff",
            "--location",
            "--max-redirs",
            "5",
            "--connect-timeout",
            PATIENCE,
            "--dump-header",
            "/proc/self/fd/2",
            "--config",
            "-",
        ],
        indent: Some(""),
        words: &[
            (&[6], "has no address"),
            (&[7], UNREACHABLE),
            (&[28], "took too long"),
            (&[1], "leads to an address that is not allowed, or curl lacks HTTPS"),
            (&[47], "redirects again and again"),
            (&[35, 51, 53, 54, 58, 59, 60, 64, 66, 77, 80, 82, 83, 90, 91], DISTRUSTED),
            (&[8, 16, 18, 52, 55, 56, 61, 92, 95], CUT),
            (&[63], super::LARGE),
        ],
    },
    Program {
        kind: Kind::Wget,
        name: "wget",
        real: &["wget", "wget-ssl", "wget-nossl"],
        arguments: &[
            "--tries=1",
            "--timeout",
            PATIENCE,
            "--max-redirect=0",
            "--server-response",
            "--no-verbose",
            "-O",
            "-",
        ],
        indent: Some("  "),
        words: &[(&[4], UNREACHABLE), (&[5], DISTRUSTED), (&[7], CUT)],
    },
    Program {
        kind: Kind::Uclient,
        name: "uclient-fetch",
        real: &["uclient-fetch"],
        arguments: &["-O", "-", "--timeout", PATIENCE],
        indent: None,
        // It says 4 of nearly all that can happen, with other words.
        words: &[(&[4], UNREACHABLE), (&[5], DISTRUSTED)],
    },
];

/// How a server that knows us is told who asks.
const AGENT: &str = concat!("diswall/", env!("CARGO_PKG_VERSION"));
/// What a body is.
const JSON: &str = "Content-Type: application/json";

/// What a program is asked for once.
#[derive(Debug)]
pub struct Question<'a> {
    /// Where, checked.
    pub url: &'a str,
    /// Name and password with a colon between them, checked.
    pub login: Option<&'a str>,
    /// What is shown beside, checked.
    pub pass: Option<&'a Pass<'a>>,
    /// What there is already.
    pub before: &'a Validators,
    /// HTTPS alone, from the first address on.
    pub secure: bool,
    /// Packed with gzip rather than plain.
    pub packed: bool,
    /// Bytes at most.
    pub most: u64,
}

/// A program at work. It ends when this is dropped.
pub struct Running {
    /// The process.
    pub child: Guarded,
    /// The body.
    pub output: Receiver,
    /// What it says.
    pub errors: Receiver,
}

impl Program {
    /// The best that is there, and where. The error says what to install.
    pub fn find() -> Result<(&'static Program, PathBuf), String> {
        let known = PROGRAMS.iter();
        let mut there = known.filter_map(|program| {
            let real = |path: &PathBuf| {
                let real = path.canonicalize().ok();
                real.and_then(|real| Some(program.real.contains(&real.file_name()?.to_str()?))).unwrap_or(false)
            };
            Some((program, programs::all(program.name).find(real)?))
        });
        there.next().ok_or_else(|| "neither curl nor wget nor uclient-fetch is installed: install curl".into())
    }

    /// Whether a login can be given to it without being seen.
    pub fn keeps_secrets(&self) -> bool {
        self.kind != Kind::Uclient
    }

    /// Whether it notices that an answer in chunks, or over HTTP/2, was cut.
    pub fn sees_the_end(&self) -> bool {
        self.kind == Kind::Curl
    }

    /// Whether redirections from this address are ours to follow.
    pub fn leaves_redirections(&self, url: &str) -> bool {
        match self.kind {
            Kind::Curl => false,
            Kind::Wget => true,
            Kind::Uclient => is_secure(url),
        }
    }

    /// What an exit status says of the server, and the sentence that came with it.
    pub fn words(&self, status: i32, sentence: &str) -> &'static str {
        if self.kind == Kind::Uclient {
            for (start, words) in [("SSL verify error", DISTRUSTED), ("Connection reset prematurely", CUT)] {
                if sentence.starts_with(start) {
                    return words;
                }
            }
        }
        let known = self.words.iter().find(|(statuses, _)| statuses.contains(&status));
        known.map_or("could not be asked", |(_, words)| words)
    }

    /// Starts it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, path: &Path, question: &Question<'_>) -> io::Result<Running> {
        let mut command = programs::bare(path);
        let mut configuration = String::new();
        match self.kind {
            Kind::Curl => {
                command.args(self.arguments).args(["--max-filesize", &question.most.to_string()]);
                let protocols = if question.secure { "=https" } else { "=https,http" };
                let redirections = if is_secure(question.url) { "=https" } else { protocols };
                command.args(["--proto", protocols, "--proto-redir", redirections]);
                let mut say = |name: &str, value: &str| {
                    let value = value.replace('\\', "\\\\").replace('"', "\\\"");
                    configuration.extend([name, " = \"", &value, "\"\n"]);
                };
                say("url", question.url);
                question.headers().iter().for_each(|header| say("header", header));
                question.login.iter().for_each(|login| say("user", login));
                if let Some(pass) = question.pass {
                    say("user-agent", AGENT);
                    pass.headers.iter().for_each(|header| say("header", header));
                    pass.certificate.iter().for_each(|path| say("cert", &path.to_string_lossy()));
                    pass.key.iter().for_each(|path| say("key", &path.to_string_lossy()));
                    pass.body.iter().for_each(|body| {
                        // What a form's fields are called is what both programs say by themselves.
                        if !pass.form {
                            say("header", JSON);
                        }
                        say("data-binary", body);
                    });
                    configuration.push_str("no-location\n");
                }
            }
            Kind::Wget => {
                command.args(self.arguments);
                let login = question.login.and_then(|login| login.split_once(':'));
                if let Some((user, password)) = login {
                    configuration.extend(["user = ", user, "\npassword = ", password, "\n"]);
                }
                if let Some(pass) = question.pass {
                    let mut say = |name: &str, value: &str| configuration.extend([name, " = ", value, "\n"]);
                    say("user_agent", AGENT);
                    pass.headers.iter().for_each(|header| say("header", header));
                    pass.certificate.iter().for_each(|path| say("certificate", &path.to_string_lossy()));
                    pass.key.iter().for_each(|path| say("private_key", &path.to_string_lossy()));
                    pass.body.iter().for_each(|body| {
                        // What a form's fields are called is what both programs say by themselves.
                        if !pass.form {
                            say("header", JSON);
                        }
                        say("post_data", body);
                    });
                }
                command.arg(if !configuration.is_empty() { "--config=/proc/self/fd/0" } else { "--no-config" });
                command.args(question.headers().iter().flat_map(|header| ["--header", header]));
                command.arg("--").arg(question.url);
            }
            Kind::Uclient => {
                command.args(self.arguments);
                command.args(question.headers().iter().flat_map(|header| ["--header", header]));
                command.arg("--").arg(question.url);
            }
        }
        let input = if configuration.is_empty() { Stdio::null() } else { as_file(&configuration)?.into() };
        let child = command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut child = Guarded(child);
        let (output, errors) = (child.0.stdout.take(), child.0.stderr.take());
        let (output, errors) = output.zip(errors).ok_or(io::ErrorKind::BrokenPipe)?;
        let output = Receiver::from_owned_fd(output.into())?;
        Ok(Running { child, output, errors: Receiver::from_owned_fd(errors.into())? })
    }
}

impl Question<'_> {
    fn headers(&self) -> Vec<String> {
        let mut headers = Vec::new();
        if self.packed {
            headers.push(PACKED.to_owned());
        }
        let mut say = |name: &str, value: &Option<String>| {
            if let Some(value) = value {
                headers.push([name, value].concat());
            }
        };
        say("If-None-Match: ", &self.before.etag);
        say("If-Modified-Since: ", &self.before.modified);
        headers
    }
}

/// A text as a file in memory.
fn as_file(text: &str) -> io::Result<File> {
    let mut file = programs::nameless()?;
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(file)
}
