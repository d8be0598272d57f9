//! Who is asked in a run: each with a folder of answers, a ledger and a budget.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::Device;
use serde::de::DeserializeOwned;
use strefer_teacher::{
    Budget, Endpoint, Endpoints, Fault as TeacherFault, Question, Recorded, Replay, Spent, Teacher,
};

use super::fault::Fault;
use super::own_teacher::OwnTeacher;
use super::watch::Watch;
use crate::config::TeacherConfig;
use crate::error::{Error, Result};

/// Teachers by name.
#[derive(Debug, Clone, Default)]
pub struct Teachers {
    members: BTreeMap<String, Member>,
}

#[derive(Debug, Clone)]
enum Member {
    Asked(Arc<Recorded<Arc<dyn Teacher>>>),
    Replayed(Arc<Replay>),
}

impl Member {
    fn teacher(&self) -> &dyn Teacher {
        match self {
            Self::Asked(teacher) => teacher.as_ref(),
            Self::Replayed(teacher) => teacher.as_ref(),
        }
    }
}

impl Teachers {
    /// The teachers of a configuration; their answers lie in `dir`, a folder each. With `replay` nobody is asked, and only
    /// those answers are given. Models in this process run where `device` says.
    ///
    /// # Errors
    /// Endpoints and folders of models that cannot be meant, folders that cannot be written.
    pub fn open(
        configs: &BTreeMap<String, TeacherConfig>,
        dir: &Path,
        replay: bool,
        device: &dyn Fn() -> Result<Device>,
    ) -> Result<Self> {
        let mut teachers = Self::default();
        for (name, config) in configs {
            let open = |folder| OwnTeacher::open(folder, device()?);
            let own = config.model.as_deref().map(open).transpose()?;
            if replay {
                let first = || config.endpoints.first().map_or("", |first| &first.model);
                let model = own.as_ref().map_or_else(first, |own| own.model());
                let member = Member::Replayed(Arc::new(Replay::new(dir.join(name), model)));
                teachers.members.insert(name.clone(), member);
                continue;
            }
            let teacher: Arc<dyn Teacher> = match own {
                Some(own) => Arc::new(own),
                None => Arc::new(endpoints(name, config)?),
            };
            teachers.hire(name, teacher, config.budget, dir)?;
        }
        Ok(teachers)
    }

    /// Whether the teachers of a configuration can be meant; nothing is loaded or written.
    ///
    /// # Errors
    /// One that cannot.
    pub fn check(configs: &BTreeMap<String, TeacherConfig>) -> Result<()> {
        configs.iter().try_for_each(|(name, config)| match &config.model {
            Some(folder) => OwnTeacher::check(folder),
            None => endpoints(name, config).map(drop),
        })
    }

    /// Adds one whose answers are kept in a folder below `dir`.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn hire(&mut self, name: &str, teacher: Arc<dyn Teacher>, budget: Budget, dir: &Path) -> Result<()> {
        let failed = |error: strefer_teacher::Error| Error::Config(format!("teacher {name}: {error}"));
        let recorded = Recorded::open(dir.join(name), teacher, budget).map_err(failed)?;
        self.members.insert(name.to_owned(), Member::Asked(Arc::new(recorded)));
        Ok(())
    }

    /// One of them.
    ///
    /// # Errors
    /// Nobody has that name.
    pub fn get<'a>(&'a self, name: &'a str) -> Result<Asked<'a>> {
        let member = self.members.get(name);
        let member = member.ok_or_else(|| Error::Config(format!("there is no teacher {name:?}")))?;
        Ok(Asked { name, teacher: member.teacher() })
    }

    /// What each has taken so far, in earlier runs in the same folder as well.
    pub fn spent(&self) -> Vec<(&str, Spent)> {
        let spent = |member: &Member| match member {
            Member::Asked(recorded) => recorded.spent(),
            Member::Replayed(_) => Spent::default(),
        };
        self.members.iter().map(|(name, member)| (name.as_str(), spent(member))).collect()
    }

    /// What questions of a prompt took so far, and how many were answered.
    pub fn spent_on(&self, name: &str, prompt: &str) -> Spent {
        match self.members.get(name) {
            Some(Member::Asked(recorded)) => recorded.spent_on(prompt),
            _ => Spent::default(),
        }
    }
}

fn endpoints(name: &str, config: &TeacherConfig) -> Result<Endpoints> {
    let failed = |error: strefer_teacher::Error| Error::Config(format!("teacher {name}: {error}"));
    let endpoints = config.endpoints.iter().cloned().map(Endpoint::new);
    let endpoints = endpoints.collect::<strefer_teacher::Result<_>>().map_err(failed)?;
    Endpoints::new(endpoints).map_err(failed)
}

/// One teacher that a stage asks.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Its name in the configuration.
    pub name: &'a str,
    /// It.
    pub teacher: &'a dyn Teacher,
}

/// What came of a question.
#[derive(Debug)]
pub enum Said<T> {
    /// An answer of the form asked for.
    Well(T),
    /// None of that form; asked otherwise there may be one.
    Badly(Fault),
}

impl Asked<'_> {
    /// An answer of the form of the question's schema.
    ///
    /// # Errors
    /// No answer of that form, no time, no budget.
    pub fn ask<T: DeserializeOwned>(
        &self,
        question: &Question,
        watch: &Watch<'_>,
    ) -> std::result::Result<T, Fault> {
        match self.try_ask(question, watch)? {
            Said::Well(answer) => Ok(answer),
            Said::Badly(fault) => Err(fault),
        }
    }

    /// The same, where an answer of another form is not the end.
    ///
    /// # Errors
    /// No answer at all, no time, no budget.
    pub fn try_ask<T: DeserializeOwned>(
        &self,
        question: &Question,
        watch: &Watch<'_>,
    ) -> std::result::Result<Said<T>, Fault> {
        watch.check()?;
        let of_teacher = |fault: &TeacherFault| Fault::of_teacher(self.name, fault);
        let answer = match self.teacher.ask(question) {
            Ok(answer) => answer,
            Err(fault @ (TeacherFault::Form { .. } | TeacherFault::Unfinished { .. })) => {
                return Ok(Said::Badly(of_teacher(&fault)));
            }
            Err(fault) => return Err(of_teacher(&fault)),
        };
        let form = |reason: String| Fault::Teacher {
            teacher: self.name.to_owned(),
            fault: "form".to_owned(),
            reason,
        };
        let value = answer.value.unwrap_or(serde_json::Value::Null);
        Ok(match serde_json::from_value(value) {
            Ok(value) => Said::Well(value),
            Err(error) => Said::Badly(form(error.to_string())),
        })
    }
}
