//! One optimiser step.

use std::collections::BTreeMap;
use std::time::Instant;

use candle_core::DType;
use strefer_core::Rng;
use strefer_llm::Loss;
use strefer_model::Inputs;
use strefer_nn::optim::Gradients;

use super::Trainer;
use super::shares::Shares;
use crate::config::{Part, Sharding};
use crate::error::{Error, Result};
use crate::log::StepReport;
use crate::plan::{RowSize, flops};
use crate::ranks::Ranks;
use crate::reader::{Batch, Reader, Row};

impl Trainer {
    /// One optimiser step over all its passes, on all ranks.
    pub(super) fn one_step(&mut self, reader: &mut Reader) -> Result<(StepReport, Vec<(String, String)>)> {
        let begun = Instant::now();
        let step = self.progress.step;
        let own = self.own_passes(reader);
        self.dropout.begin(None);
        // While ranks share layers, one that fails cannot tell the others: it ends, and they are ended.
        let own = if self.layers.is_some() { Ok(own?) } else { own };
        let Pile { mut gradients, of_layers, skipped, ids, counts, shares, wait_seconds, groups: _ } =
            self.ranks.together(&format!("step {step}: passes"), own)?;
        let Counts { loss, supervised, tokens, samples, seen, flops } = counts.summed(&self.ranks, step)?;
        let skipped = match seen > samples {
            true => self.ranks.gather(&format!("step {step}: skipped samples"), skipped)?,
            false => skipped,
        };
        self.progress.seen += seen;
        self.progress.skipped += skipped.len();
        if let Some((id, reason)) = skipped.last() {
            self.last_skip = format!("{id}: {reason}");
        }
        if samples == 0 {
            return Err(Error::NoSamples { step, reason: self.last_skip.clone() });
        }
        if supervised == 0 {
            return Err(Error::NothingSupervised { step, ids });
        }
        let what = format!("step {step}: gradients");
        let shared = matches!(self.config.steps.shard, Sharding::Gradients | Sharding::Full);
        let keep = |name: &str| !shared || self.owners.owns(name);
        gradients = self.ranks.sum_gradients(&what, &self.everywhere, gradients, keep)?;
        gradients.add(of_layers)?;
        let [by_source, by_group] = shares.of_all(&self.ranks, &format!("step {step}: losses"))?;
        let loss = loss / supervised as f64;
        gradients.scale(1.0 / supervised as f64)?;
        let (grad_norm, grad_norms) = self.norms(&gradients, shared && self.owners.are_several(), step)?;
        for (what, value) in [("loss", loss), ("gradient norm", grad_norm)] {
            if !value.is_finite() {
                return Err(Error::NotFinite { step, what, value, ids });
            }
        }
        gradients.clip_from(grad_norm, self.config.optim.clip_norm)?;
        let lr = self.config.schedule.lr_at(step, self.total);
        self.optimizer.step(&gradients, lr)?;
        if self.owners.are_several() {
            self.ranks.share(&format!("step {step}: parameters"), &self.everywhere, &self.owners)?;
        }
        self.progress.step += 1;
        self.progress.supervised += supervised;
        let report = StepReport {
            step,
            loss,
            lr,
            grad_norm,
            grad_norms,
            by_source,
            by_group,
            tokens,
            supervised,
            samples,
            flops,
            skipped: self.progress.skipped,
            seconds: begun.elapsed().as_secs_f64(),
            wait_seconds,
        };
        Ok((report, skipped))
    }

    /// This rank's passes of a step.
    fn own_passes(&self, reader: &mut Reader) -> Result<Pile> {
        let mut pile = Pile::default();
        for _ in 0..self.passes.count() {
            let begun = Instant::now();
            let Batch { rows, skipped } = reader.next_batch()?;
            pile.wait_seconds += begun.elapsed().as_secs_f64();
            pile.counts.seen += rows.len() + skipped.len();
            pile.counts.samples += rows.len();
            pile.skipped.extend(skipped);
            let size = |row: &Row| RowSize::of(&row.inputs, &self.model_config);
            let work = rows.iter().map(|row| flops(size(row), &self.model_config, self.learning));
            pile.counts.flops += work.sum::<f64>();
            pile.ids.extend(rows.iter().map(|row| row.inputs.id.clone()));
            if self.layers.is_some() {
                // Every rank goes through the layers equally often, also one that has nothing to show them; and on this
                // thread: those of the pool must not wait for other ranks.
                self.pass(rows, &mut pile)?;
                continue;
            }
            let groups = match self.config.steps.pack {
                0 => by_length(rows, |row| row.inputs.positions(&self.model_config)),
                _ if rows.is_empty() => Vec::new(),
                _ => vec![rows],
            };
            for alike in groups {
                // Among the pool's own threads: a thread outside would compete with them for the cores.
                rayon::scope(|_| self.pass(alike, &mut pile))?;
            }
        }
        if let Some(layers) = &self.layers {
            pile.of_layers = layers.settle()?;
        }
        Ok(pile)
    }

    /// The norm of all gradients, and those of the parts. `shared`: this rank has some of them only.
    fn norms(&self, gradients: &Gradients, shared: bool, step: usize) -> Result<(f64, BTreeMap<Part, f64>)> {
        let mut squares: BTreeMap<Part, f64> = self.vars.keys().map(|name| (Part::of(name), 0.0)).collect();
        for (name, grad) in gradients.iter() {
            *squares.entry(Part::of(name)).or_default() += Gradients::square(grad)?;
        }
        if shared {
            for (part, square) in &mut squares {
                [*square] = self.ranks.sum(&format!("step {step}: norm of {}", part.name()), [*square])?;
            }
        }
        let norm = squares.values().sum::<f64>().sqrt();
        Ok((norm, squares.into_iter().map(|(part, square)| (part, square.sqrt())).collect()))
    }

    /// Forward and backward of one micro-batch.
    fn pass(&self, rows: Vec<Row>, pile: &mut Pile) -> Result<()> {
        let (mut inputs, origins): (Vec<Inputs>, Vec<_>) =
            rows.into_iter().map(|Row { inputs, source, group }| (inputs, (source, group))).unzip();
        if inputs.is_empty() {
            inputs.push(Inputs::of_one_token(&self.model_config)?);
        }
        let draws = Rng::new(self.config.seed, "dropout").at(self.progress.step as u64);
        self.dropout.begin(Some(draws.at(self.ranks.rank() as u64).at(pile.groups)));
        pile.groups += 1;
        let spliced =
            self.model.splice_encoded(&inputs, &self.model.encode(&inputs)?, self.config.steps.pack)?;
        let (b, s, _) = spliced.embeds.dims3()?;
        pile.counts.tokens += b * s;
        let hidden = self.model.forward(&spliced)?;
        let losses = self.model.language_model().losses(&hidden, &spliced.labels)?;
        let stretches = spliced.places.iter().map(|place| {
            let start = place.row * s + place.start;
            start..start + place.len
        });
        for ((source, group), loss) in origins.into_iter().zip(losses.within(stretches)?) {
            pile.shares.add(self.source.name(source), group.as_deref(), loss);
        }
        let Loss { sum, count, .. } = losses;
        let sum = match &self.layers {
            // A pass in which nothing is learnt goes back through the layers, too, where ranks share them. Candle would
            // not go back through a product with a plain 0.
            Some(_) if count == 0 => (&hidden * hidden.zeros_like()?)?.sum_all()?,
            _ => sum,
        };
        let mut own = Gradients::collect(&self.vars, &sum.backward()?);
        if let Some(recompute) = &self.recompute {
            recompute.add_to(&mut own, &self.vars)?;
        }
        pile.gradients.add(own)?;
        pile.counts.supervised += count;
        pile.counts.loss += f64::from(sum.to_dtype(DType::F32)?.to_scalar::<f32>()?);
        Ok(())
    }
}

/// What a rank's passes of one step have come to.
#[derive(Default)]
struct Pile {
    gradients: Gradients,
    /// Those of layers that ranks share, summed over all ranks already, of what this rank owns.
    of_layers: Gradients,
    skipped: Vec<(String, String)>,
    ids: Vec<String>,
    counts: Counts,
    shares: Shares,
    /// Groups that went through the model.
    groups: u64,
    wait_seconds: f64,
}

/// Sums of a step.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    loss: f64,
    supervised: usize,
    tokens: usize,
    samples: usize,
    /// Skipped ones included.
    seen: usize,
    flops: f64,
}

impl Counts {
    fn summed(self, ranks: &Ranks, step: usize) -> Result<Self> {
        let Self { loss, supervised, tokens, samples, seen, flops } = self;
        let [a, b, c, d] = [supervised, tokens, samples, seen].map(|count| count as f64);
        let [a, b, c, d, loss, flops] =
            ranks.sum(&format!("step {step}: counts"), [a, b, c, d, loss, flops])?;
        let [supervised, tokens, samples, seen] = [a, b, c, d].map(|count| count as usize);
        Ok(Self { loss, supervised, tokens, samples, seen, flops })
    }
}

/// Rows of like length, longest first: padding a short prompt to a long one costs as much as the long one.
pub(crate) fn by_length<T>(rows: Vec<T>, length: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let mut rows: Vec<(usize, T)> = rows.into_iter().map(|row| (length(&row), row)).collect();
    rows.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
    let (mut groups, mut longest) = (Vec::<Vec<T>>::new(), 0);
    for (length, row) in rows {
        match groups.last_mut() {
            Some(group) if 5 * length >= 3 * longest => group.push(row),
            _ => {
                longest = length;
                groups.push(vec![row]);
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::by_length;

    #[test]
    fn rows_of_like_length_stay_together_and_none_is_lost() {
        let rows = vec![30, 100, 61, 59, 60, 10, 18];
        let groups = by_length(rows, |row| *row);
        assert_eq!(groups, [vec![100, 61, 60], vec![59], vec![30, 18], vec![10]]);
        assert!(by_length(Vec::<usize>::new(), |row| *row).is_empty());
    }
}
