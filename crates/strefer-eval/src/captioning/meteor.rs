//! [METEOR](https://aclanthology.org/W14-3348/) 1.5, asked of its own program.
//!
//! The numbers need a table of paraphrases and WordNet, which come with `meteor-1.5.jar`. The program reads
//! `SCORE ||| reference ||| … ||| prediction`, answers with statistics, and makes scores of statistics after `EVAL`.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::score::Caption;

/// Why there is no METEOR.
#[derive(Debug, thiserror::Error)]
pub enum MeteorError {
    /// The program does not start, or stops in the middle.
    #[error("{program}: {source}")]
    Program {
        /// What was started.
        program: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The program answers with something else than numbers.
    #[error("{program}: {said:?} instead of a number")]
    Answer {
        /// What was started.
        program: String,
        /// What it said.
        said: String,
    },
}

/// METEOR of a set of captions, 0 to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct MeteorScores {
    /// From summed statistics, not the mean of the items.
    pub corpus: f64,
    /// Of each caption.
    pub items: Vec<f64>,
}

/// The running program.
#[derive(Debug)]
pub struct Meteor {
    program: String,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Meteor {
    /// Starts `java -jar JAR`, for English.
    ///
    /// # Errors
    /// When Java is not there.
    pub fn java(jar: &std::path::Path) -> Result<Self, MeteorError> {
        let mut command = Command::new("java");
        command.args(["-Xmx2G", "-jar"]).arg(jar).args(["-", "-", "-stdio", "-l", "en", "-norm"]);
        Self::start(command)
    }

    /// Starts any program that speaks the same way.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(mut command: Command) -> Result<Self, MeteorError> {
        let program = command.get_program().to_string_lossy().into_owned();
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child =
            piped.spawn().map_err(|source| MeteorError::Program { program: program.clone(), source })?;
        let input = child.stdin.take().expect("the input was just piped");
        let output = child.stdout.take().expect("the output was just piped");
        Ok(Self { program, child, input, output: BufReader::new(output) })
    }

    /// Scores tokenised captions.
    ///
    /// # Errors
    /// When the program stops or does not answer with numbers.
    pub fn score(&mut self, captions: &[Caption]) -> Result<MeteorScores, MeteorError> {
        let mut evaluate = "EVAL".to_owned();
        for caption in captions {
            let references = caption.references.iter().map(|it| clean(it));
            let parts: Vec<String> = references.chain([clean(&caption.prediction)]).collect();
            self.say(&format!("SCORE ||| {}", parts.join(" ||| ")))?;
            evaluate += " ||| ";
            evaluate += &self.hear()?;
        }
        self.say(&evaluate)?;
        let items = captions.iter().map(|_| self.number()).collect::<Result<_, _>>()?;
        Ok(MeteorScores { items, corpus: self.number()? })
    }

    fn failed(&self, source: std::io::Error) -> MeteorError {
        MeteorError::Program { program: self.program.clone(), source }
    }

    fn say(&mut self, line: &str) -> Result<(), MeteorError> {
        let said = writeln!(self.input, "{line}").and_then(|()| self.input.flush());
        said.map_err(|source| self.failed(source))
    }

    fn hear(&mut self) -> Result<String, MeteorError> {
        let mut line = String::new();
        match self.output.read_line(&mut line) {
            Ok(0) => Err(self.failed(std::io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => Ok(line.trim().to_owned()),
            Err(source) => Err(self.failed(source)),
        }
    }

    fn number(&mut self) -> Result<f64, MeteorError> {
        let said = self.hear()?;
        said.parse().map_err(|_| MeteorError::Answer { program: self.program.clone(), said })
    }
}

impl Drop for Meteor {
    fn drop(&mut self) {
        // It may have stopped on its own.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Without what separates texts in the protocol.
fn clean(text: &str) -> String {
    text.replace("|||", "").replace("  ", " ")
}
