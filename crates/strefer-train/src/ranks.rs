//! What the ranks of a run do together.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};
use strefer_dist::{Communicator, gather_bytes, sum_of};
use strefer_nn::optim::Gradients;

use crate::config::Sharding;
use crate::error::{Error, Result};

/// Numbers that are exchanged at a time.
pub(crate) const BUCKET: usize = 1 << 24;

/// This rank among those of its run.
#[derive(Debug, Clone)]
pub(crate) struct Ranks(Arc<dyn Communicator>);

impl Ranks {
    pub(crate) fn new(ranks: Arc<dyn Communicator>) -> Self {
        Self(ranks)
    }

    pub(crate) fn rank(&self) -> usize {
        self.0.rank()
    }

    pub(crate) fn size(&self) -> usize {
        self.0.size()
    }

    /// Whether this rank writes what is written once.
    pub(crate) fn is_first(&self) -> bool {
        self.rank() == 0
    }

    /// What this rank has come to, once all ranks have come to something: a rank whose own work went well must not wait
    /// later for one whose work failed.
    ///
    /// # Errors
    /// This rank's own, or [`Error::OtherRank`].
    pub(crate) fn together<T>(&self, what: &str, own: Result<T>) -> Result<T> {
        let [failed] = self.sum(what, [f64::from(u8::from(own.is_err()))])?;
        if failed > 0.0 && own.is_ok() {
            return Err(Error::OtherRank { what: what.to_owned() });
        }
        own
    }

    /// Sums over all ranks.
    pub(crate) fn sum<const N: usize>(&self, what: &str, values: [f64; N]) -> Result<[f64; N]> {
        Ok(sum_of(&*self.0, what, values)?)
    }

    /// The records of all ranks, in the order of the ranks.
    pub(crate) fn gather<T>(&self, what: &str, own: Vec<T>) -> Result<Vec<T>>
    where
        T: serde::Serialize + serde::de::DeserializeOwned,
    {
        if self.size() == 1 {
            return Ok(own);
        }
        let odd = |error: serde_json::Error| candle_core::Error::Msg(format!("{what}: {error}"));
        let bytes = serde_json::to_vec(&own).map_err(odd)?;
        let mut all = Vec::new();
        for bytes in gather_bytes(&*self.0, what, &bytes)? {
            all.extend(serde_json::from_slice::<Vec<T>>(&bytes).map_err(odd)?);
        }
        Ok(all)
    }

    /// The gradients of all ranks together, of those parameters that `keep` takes; one that no rank has a gradient of has
    /// none.
    pub(crate) fn sum_gradients(
        &self,
        what: &str,
        vars: &BTreeMap<String, Var>,
        own: Gradients,
        keep: impl Fn(&str) -> bool,
    ) -> Result<Gradients> {
        if self.size() == 1 {
            return Ok(own);
        }
        let has: Vec<f32> = vars.keys().map(|name| f32::from(u8::from(own.get(name).is_some()))).collect();
        let has =
            self.0.all_reduce(what, &Tensor::from_vec(has, vars.len(), &Device::Cpu)?)?.to_vec1::<f32>()?;
        let there = vars.iter().zip(has).filter(|(_, count)| *count > 0.0);
        let wanted: Vec<(&String, &Var)> = there.map(|(entry, _)| entry).collect();
        let mut sums = Gradients::default();
        self.sum_each(
            what,
            &wanted,
            |name| own.get(name).cloned(),
            |name, sum| {
                if keep(name) {
                    sums.insert(name, sum);
                }
                Ok(())
            },
        )?;
        Ok(sums)
    }

    /// Gives every rank the parameters as their owners have them.
    pub(crate) fn share(&self, what: &str, vars: &BTreeMap<String, Var>, owners: &Owners) -> Result<()> {
        for (name, var) in vars {
            let Some(owner) = owners.of(name) else { continue };
            let own = owners.owns(name);
            let values = match own {
                true => var.as_detached_tensor().flatten_all()?.to_device(&self.0.device())?,
                false => Tensor::zeros(var.elem_count(), var.dtype(), &self.0.device())?,
            };
            let values = self.broadcast(&format!("{what}, {name}"), &values, owner)?;
            if !own {
                var.set(&values.reshape(var.shape())?.to_device(var.device())?)?;
            }
        }
        Ok(())
    }

    /// Where values lie best that are exchanged.
    pub(crate) fn device(&self) -> Device {
        self.0.device()
    }

    /// The values of rank `root`; others bring any of their shape and type.
    pub(crate) fn broadcast(&self, what: &str, values: &Tensor, root: usize) -> Result<Tensor> {
        Ok(self.0.broadcast(what, values, root)?)
    }

    /// Sums over all ranks, for rank `root`.
    pub(crate) fn reduce(&self, what: &str, values: &Tensor, root: usize) -> Result<Option<Tensor>> {
        Ok(self.0.reduce(what, values, root)?)
    }

    /// Sums a tensor for each of `vars`, shaped and typed as it, a bucket at a time; nothing counts as zeros.
    fn sum_each(
        &self,
        what: &str,
        vars: &[(&String, &Var)],
        own: impl Fn(&str) -> Option<Tensor>,
        mut take: impl FnMut(&str, Tensor) -> Result<()>,
    ) -> Result<()> {
        let mut rest = vars;
        while let Some(((first, _), _)) = rest.split_first() {
            let mut count = 0;
            let fits = |(_, var): &&(&String, &Var)| {
                let first = count == 0;
                count += var.elem_count();
                first || count <= BUCKET
            };
            let (bucket, after) = rest.split_at(rest.iter().take_while(fits).count());
            rest = after;
            let flat = bucket.iter().map(|(name, var)| match own(name) {
                Some(tensor) => tensor.flatten_all()?.to_dtype(DType::F32)?.to_device(&self.0.device()),
                None => Tensor::zeros(var.elem_count(), DType::F32, &self.0.device()),
            });
            let flat = Tensor::cat(&flat.collect::<candle_core::Result<Vec<_>>>()?, 0)?;
            let sums = self.0.all_reduce(&format!("{what}, from {first}"), &flat)?;
            let mut at = 0;
            for (name, var) in bucket {
                // Not `copy`, which would take the whole bucket along.
                let sum = sums.narrow(0, at, var.elem_count())?.reshape(var.shape())?.force_contiguous()?;
                at += var.elem_count();
                take(name, sum.to_dtype(var.dtype())?.to_device(var.device())?)?;
            }
        }
        Ok(())
    }
}

/// Which rank keeps a parameter, or the optimiser's state of it.
#[derive(Debug, Clone)]
pub(crate) struct Owners {
    rank: usize,
    /// None where every rank keeps everything.
    of: Option<BTreeMap<String, usize>>,
    /// How many numbers each rank keeps.
    loads: Vec<usize>,
}

impl Owners {
    /// Nothing has an owner yet; where nothing is shared, nothing will.
    pub(crate) fn new(sharding: Sharding, ranks: &Ranks) -> Self {
        Self::of_rank(sharding, ranks.rank(), ranks.size())
    }

    /// As [`Owners::new`], of one rank of so many.
    pub(crate) fn of_rank(sharding: Sharding, rank: usize, size: usize) -> Self {
        let several = sharding != Sharding::None && size > 1;
        Self { rank, of: several.then(BTreeMap::new), loads: vec![0; size] }
    }

    /// Gives parameters of these sizes owners, the largest first, each the one that keeps least.
    pub(crate) fn spread<'a>(&mut self, sizes: impl IntoIterator<Item = (&'a str, usize)>) {
        let Some(of) = &mut self.of else { return };
        let mut sizes: Vec<(usize, &str)> = sizes.into_iter().map(|(name, size)| (size, name)).collect();
        sizes.sort_by_key(|(size, name)| (std::cmp::Reverse(*size), *name));
        for (size, name) in sizes {
            if of.contains_key(name) {
                continue;
            }
            let least = (0..self.loads.len()).min_by_key(|rank| self.loads[*rank]).unwrap_or_default();
            self.loads[least] += size;
            of.insert(name.to_owned(), least);
        }
    }

    /// How many ranks there are.
    pub(crate) fn size(&self) -> usize {
        self.loads.len()
    }

    /// Whether states lie on several ranks.
    pub(crate) fn are_several(&self) -> bool {
        self.of.is_some()
    }

    /// The rank that keeps `name`, where it is one.
    pub(crate) fn of(&self, name: &str) -> Option<usize> {
        self.of.as_ref()?.get(name).copied()
    }

    /// Whether this rank keeps `name`.
    pub(crate) fn owns(&self, name: &str) -> bool {
        self.of.as_ref().is_none_or(|of| of.get(name) == Some(&self.rank))
    }
}
