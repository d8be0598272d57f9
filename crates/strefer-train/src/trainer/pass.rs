//! Rows that go through the model together, forward and backward.

use candle_core::DType;
use strefer_core::Rng;
use strefer_model::Inputs;
use strefer_nn::Tape;
use strefer_nn::optim::Gradients;

use super::Trainer;
use super::shares::Shares;
use crate::error::Result;
use crate::reader::Row;

/// What some rows have come to.
#[derive(Default)]
pub(super) struct Passed {
    pub gradients: Gradients,
    pub shares: Shares,
    /// Summed over the supervised positions.
    pub loss: f64,
    pub supervised: usize,
    pub tokens: usize,
}

impl Passed {
    /// Adds what other rows have come to.
    pub(super) fn add(&mut self, other: Self) -> Result<()> {
        let Self { gradients, shares, loss, supervised, tokens } = other;
        self.gradients.add(gradients)?;
        self.shares.join(shares);
        self.loss += loss;
        self.supervised += supervised;
        self.tokens += tokens;
        Ok(())
    }
}

impl Trainer {
    /// Forward and backward of some rows. `draw` numbers the pass within the step, for dropout.
    ///
    /// Several may be under way at once only where nothing is dropped and no layer runs again
    /// ([`crate::TrainConfig::may_go_side_by_side`]): what these know of a pass is the trainer's.
    ///
    /// `meanwhile` is done when all is asked of a card and nothing has come of it yet.
    pub(super) fn pass(&self, rows: Vec<Row>, draw: u64, meanwhile: impl FnOnce()) -> Result<Passed> {
        let (mut inputs, origins): (Vec<Inputs>, Vec<_>) =
            rows.into_iter().map(|Row { inputs, source, group }| (inputs, (source, group))).unzip();
        if inputs.is_empty() {
            inputs.push(Inputs::of_one_token(&self.model_config)?);
        }
        let draws = Rng::new(self.config.seed, "dropout").at(self.progress.step as u64);
        self.dropout.begin(Some(draws.at(self.ranks.rank() as u64).at(draw)));
        let tape = Tape::begin(self.model.language_model().device());
        let spliced =
            self.model.splice_encoded(&inputs, &self.model.encode(&inputs)?, self.config.steps.pack)?;
        let (b, s, _) = spliced.embeds.dims3()?;
        let hidden = self.model.forward(&spliced)?;
        let losses = self.model.language_model().losses(&hidden, &spliced.labels)?;
        let stretches = spliced.places.iter().map(|place| {
            let start = place.row * s + place.start;
            start..start + place.len
        });
        let count = losses.count;
        let sum = match &self.layers {
            // A pass in which nothing is learnt goes back through the layers, too, where ranks share them. Candle would
            // not go back through a product with a plain 0.
            Some(_) if count == 0 => (&hidden * hidden.zeros_like()?)?.sum_all()?,
            _ => losses.sum.clone(),
        };
        let mut gradients = Gradients::collect(&self.vars, &tape.backward(&sum)?);
        if let Some(recompute) = &self.recompute {
            recompute.add_to(&mut gradients, &self.vars)?;
        }
        meanwhile();
        // A card is waited for when all that it has to do is before it.
        let mut shares = Shares::default();
        for ((source, group), loss) in origins.into_iter().zip(losses.within(stretches)?) {
            shares.add(self.source.name(source), group.as_deref(), loss);
        }
        let loss = f64::from(sum.to_dtype(DType::F32)?.to_scalar::<f32>()?);
        Ok(Passed { gradients, shares, loss, supervised: count, tokens: b * s })
    }
}
