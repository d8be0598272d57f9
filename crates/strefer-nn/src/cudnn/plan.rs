//! Plans: which kernel does a graph, ready to run.

use std::ffi::c_void;

use candle_core::{Result, bail};

use super::attention::{Part, Shape, backward, forward};
use super::descriptor::Descriptor;
use super::graph::Graph;
use super::library::{Handle, Library};
use super::names::{Attribute, HEURISTICS_A, Kind, Of};

/// What a plan is for.
#[derive(Debug)]
pub enum Target<'a> {
    /// A card of this machine.
    Card(&'a Handle),
    /// A card of which only the properties are known, as the library writes them in JSON. Such plans do not run here.
    Described(&'a str),
}

/// A kernel for a graph, and what it needs.
#[derive(Debug)]
pub struct Plan {
    plan: Descriptor,
    graph: Graph,
    /// What the plan was made of: the library does not say that it may go before the plan.
    _made_of: [Descriptor; 2],
    workspace: usize,
}

impl Plan {
    /// Results of attention, and the log-sum-exp of its scores.
    ///
    /// # Errors
    /// What the library says where it has no kernel for this.
    pub fn forward(shape: &Shape, target: &Target<'_>) -> Result<Self> {
        Self::new(forward(shape)?, target)
    }

    /// Gradients of queries, keys and values.
    ///
    /// # Errors
    /// As [`Plan::forward`].
    pub fn backward(shape: &Shape, target: &Target<'_>) -> Result<Self> {
        Self::new(backward(shape)?, target)
    }

    /// Bytes that a run needs besides its tensors.
    pub fn workspace(&self) -> usize {
        self.workspace
    }

    fn new(graph: Graph, target: &Target<'_>) -> Result<Self> {
        let properties = match target {
            Target::Card(_) => None,
            Target::Described(text) => {
                Some(Descriptor::new(Kind::Properties)?.text(Attribute::PropertiesText, text)?.finish()?)
            }
        };
        let described = |descriptor: Descriptor, attribute: Attribute| match &properties {
            Some(properties) => descriptor.descriptors(attribute, &[properties]),
            None => Ok(descriptor),
        };
        let handled = |descriptor: Descriptor, attribute: Attribute| match target {
            Target::Card(handle) => descriptor.handle(attribute, handle.raw),
            Target::Described(_) => Ok(descriptor),
        };
        let operations =
            Descriptor::new(Kind::Graph)?.descriptors(Attribute::GraphOperations, &graph.operations())?;
        let operations = handled(operations, Attribute::GraphHandle)?.finish()?;
        let heuristics = Descriptor::new(Kind::Heuristics)?
            .descriptors(Attribute::HeuristicsGraph, &[&operations])?
            .choice(Attribute::HeuristicsMode, Of::Mode, HEURISTICS_A)?;
        let heuristics = described(heuristics, Attribute::HeuristicsProperties)?.finish()?;
        let mut refused = Vec::new();
        for config in heuristics.found(Attribute::HeuristicsResults, Kind::EngineConfig)? {
            let plan = Descriptor::new(Kind::Plan)?.descriptors(Attribute::PlanConfig, &[&config])?;
            let plan = handled(described(plan, Attribute::PlanProperties)?, Attribute::PlanHandle)?;
            match plan.finish() {
                Ok(plan) => {
                    let workspace = plan.number(Attribute::PlanWorkspace)?.max(0) as usize;
                    return Ok(Self { plan, graph, _made_of: [operations, config], workspace });
                }
                Err(error) => refused.push(error.to_string()),
            }
        }
        bail!("cuDNN {} has no attention for this: {refused:?}", Library::get()?.version())
    }

    /// Puts the kernel into the handle's stream. `parts` are the tensors that the graph names, `workspace` as many bytes as
    /// [`Plan::workspace`] says.
    ///
    /// # Errors
    /// What the library says.
    ///
    /// # Safety
    /// The plan is for the handle's card. Every tensor lies there as the graph says, and stays until the kernel is through.
    pub unsafe fn run(
        &self,
        handle: &mut Handle,
        parts: &[(Part, *mut c_void)],
        workspace: *mut c_void,
    ) -> Result<()> {
        let constants: Vec<(i64, Box<f32>)> =
            self.graph.constants().iter().map(|&(id, value)| (id, Box::new(value))).collect();
        let constant = |value: &f32| std::ptr::from_ref(value).cast_mut().cast::<c_void>();
        let lent = parts.iter().map(|&(part, at)| (part as i64, at));
        let (ids, pointers): (Vec<i64>, Vec<*mut c_void>) =
            lent.chain(constants.iter().map(|(id, value)| (*id, constant(value)))).unzip();
        let pack = Descriptor::new(Kind::Pack)?
            .numbers(Attribute::PackIds, &ids)?
            .pointers(Attribute::PackPointers, &pointers)?
            .pointers(Attribute::PackWorkspace, &[workspace])?
            .finish()?;
        let library = Library::get()?;
        // SAFETY: as the caller says; constants are read before this returns.
        let status = unsafe { (library.execute)(handle.raw, self.plan.raw(), pack.raw()) };
        library.check("a run", status)
    }
}
