//! The program `strefer`: one subcommand a job.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use strefer_cli::Freed;
use strefer_cli::commands::{
    assemble, convert, counterpart, doctor, engine, eval, export, import, infer, init, leaderboard, lessons,
    mix, pack, report, schema, score, synth, train, verify,
};

/// A Video LLM that understands this object, at this moment
#[derive(Debug, Parser)]
#[command(version, about)]
struct Args {
    #[command(subcommand)]
    job: Job,
}

#[derive(Debug, Subcommand)]
enum Job {
    Synth(synth::SynthArgs),
    Counterpart(counterpart::CounterpartArgs),
    Engine(Box<engine::EngineArgs>),
    Import(import::ImportArgs),
    Mix(mix::MixArgs),
    MixWeights(mix::MixWeightsArgs),
    Pack(pack::PackArgs),
    Export(export::ExportArgs),
    Init(init::InitArgs),
    Assemble(assemble::AssembleArgs),
    Train(train::TrainArgs),
    Eval(Box<eval::EvalArgs>),
    Infer(Box<infer::InferArgs>),
    Leaderboard(leaderboard::LeaderboardArgs),
    Lessons(lessons::LessonsArgs),
    Report(report::ReportArgs),
    Score(score::ScoreArgs),
    Schema(schema::SchemaArgs),
    Convert(convert::ConvertArgs),
    Verify(verify::VerifyArgs),
    Doctor(doctor::DoctorArgs),
}

impl Job {
    /// Jobs whose memory is a model's, or a mass of records.
    fn freed(&self) -> Freed {
        match self {
            Self::Train(_) | Self::Eval(_) | Self::Infer(_) => Freed::ByAll,
            _ => Freed::ByThread,
        }
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    // SAFETY: no thread has started yet.
    unsafe { strefer_cli::prepare_process(args.job.freed()) };
    if let Job::Train(args) = &args.job {
        // SAFETY: as above.
        unsafe { train::prepare(args) };
    }
    strefer_cli::start_logging();
    strefer_cli::report_errors(match &args.job {
        Job::Synth(args) => synth::run(args),
        Job::Counterpart(args) => counterpart::run(args),
        Job::Engine(args) => engine::run(args),
        Job::Import(args) => import::run(args),
        Job::Mix(args) => mix::run(args),
        Job::MixWeights(args) => mix::run_weights(args),
        Job::Pack(args) => pack::run(args),
        Job::Export(args) => export::run(args),
        Job::Init(args) => init::run(args),
        Job::Assemble(args) => assemble::run(args),
        Job::Train(args) => train::run(args),
        Job::Eval(args) => eval::run(args),
        Job::Infer(args) => infer::run(args),
        Job::Leaderboard(args) => leaderboard::run(args),
        Job::Lessons(args) => lessons::run(args),
        Job::Report(args) => report::run(args),
        Job::Score(args) => score::run(args),
        Job::Schema(args) => schema::run(args),
        Job::Convert(args) => convert::run(args),
        Job::Verify(args) => verify::run(args),
        Job::Doctor(args) => doctor::run(args),
    })
}
