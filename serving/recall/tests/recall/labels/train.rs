//! Logistic regression, one head a label: full batches and no chance, so that the same notes make the same heads.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use crave_recall::understand::{ALL_N, Heads, LABELS_N, PerLabel, WORDS_N, held};

use super::{data::Note, score::Scores};

/// L2 weight decay, chosen by cross-validation on the training notes.
const DECAY: f64 = 0.002;
const FOLDS: usize = 5;
/// Steps of Adam (Kingma and Ba, 2015), with this rate falling to 0.
const STEPS: usize = 100;
const RATE: f64 = 0.1;
/// How many notes' worth the common threshold counts beside a label's own.
const COMMON_NOTES: f32 = 20.0;

struct Head {
    weights: Tensor,
    bias: Tensor,
}

impl Head {
    fn fit(x: &Tensor, y: &Tensor, decay: f64) -> candle_core::Result<Self> {
        let (rows, numbers) = x.dims2()?;
        let mut w = Tensor::zeros((numbers, LABELS_N), x.dtype(), x.device())?;
        let mut b = Tensor::zeros((1, LABELS_N), x.dtype(), x.device())?;
        let (mut w_moments, mut b_moments) = ((w.clone(), w.clone()), (b.clone(), b.clone()));
        let transposed = x.t()?.contiguous()?;
        for step in 1..=STEPS {
            let error = (candle_nn::ops::sigmoid(&x.matmul(&w)?.broadcast_add(&b)?)? - y)?;
            let error = (error / rows as f64)?;
            let by_w = (transposed.matmul(&error)? + (&w * decay)?)?;
            let rate = RATE * (1.0 - (step - 1) as f64 / STEPS as f64);
            w = adam(&w, &by_w, &mut w_moments, step, rate)?;
            b = adam(&b, &error.sum_keepdim(0)?, &mut b_moments, step, rate)?;
        }
        Ok(Self { weights: w, bias: b })
    }

    fn predict(&self, x: &Tensor) -> candle_core::Result<Vec<PerLabel<f32>>> {
        let p = candle_nn::ops::sigmoid(&x.matmul(&self.weights)?.broadcast_add(&self.bias)?)?;
        Ok(p.to_vec2()?.into_iter().map(|row: Vec<f32>| row.try_into().unwrap()).collect())
    }
}

fn adam(
    value: &Tensor,
    gradient: &Tensor,
    (mean, square): &mut (Tensor, Tensor),
    step: usize,
    rate: f64,
) -> candle_core::Result<Tensor> {
    *mean = ((&*mean * 0.9)? + (gradient * 0.1)?)?;
    *square = ((&*square * 0.999)? + (gradient.sqr()? * 0.001)?)?;
    let (one, two) = (1.0 - 0.9_f64.powi(step as i32), 1.0 - 0.999_f64.powi(step as i32));
    let by = ((&*mean / one)? / ((&*square / two)?.sqrt()? + 1e-8)?)?;
    value - (by * rate)?
}

fn matrix<T: AsRef<[f32]>>(rows: &[T]) -> Tensor {
    let columns = rows[0].as_ref().len();
    let flat: Vec<f32> = rows.iter().flat_map(|row| row.as_ref().iter().copied()).collect();
    Tensor::from_vec(flat, (rows.len(), columns), &Device::Cpu).unwrap()
}

fn truth(notes: &[&Note]) -> Tensor {
    let rows: Vec<[f32; LABELS_N]> =
        notes.iter().map(|note| note.holds.map(|holds| f32::from(u8::from(holds)))).collect();
    matrix(&rows)
}

/// Each note's probabilities by heads that were fitted on the other folds.
fn out_of_fold(numbers: &[Vec<f32>], notes: &[Note], decay: f64) -> Vec<PerLabel<f32>> {
    let mut predicted = vec![[0.0; LABELS_N]; notes.len()];
    for fold in 0..FOLDS {
        let (mut in_x, mut in_y, mut out) = (Vec::new(), Vec::new(), Vec::new());
        for (at, (row, note)) in numbers.iter().zip(notes).enumerate() {
            if at % FOLDS == fold {
                out.push(at);
            } else {
                in_x.push(row);
                in_y.push(note);
            }
        }
        let head = Head::fit(&matrix(&in_x), &truth(&in_y), decay).unwrap();
        let held_out: Vec<_> = out.iter().map(|at| &numbers[*at]).collect();
        for (at, p) in out.into_iter().zip(head.predict(&matrix(&held_out)).unwrap()) {
            predicted[at] = p;
        }
    }
    predicted
}

/// The thresholds with the best F1 on notes held out, each drawn towards the one that is best for all, the more the
/// rarer its label is.
fn thresholds(predicted: &[PerLabel<f32>], notes: &[Note]) -> PerLabel<f32> {
    let grid = || (3..=14).map(|step| step as f32 * 0.05);
    let f1 = |at: usize, threshold: f32| {
        let (mut both, mut either) = (0.0, 0.0);
        for (p, note) in predicted.iter().zip(notes) {
            let (said, holds) = (p[at] >= threshold, note.holds[at]);
            both += 2.0 * f64::from(u8::from(said && holds));
            either += f64::from(u8::from(said)) + f64::from(u8::from(holds));
        }
        both / f64::max(either, 1.0)
    };
    let best = |of: &dyn Fn(f32) -> f64| {
        grid().max_by(|a, b| of(*a).total_cmp(&of(*b)).then(b.total_cmp(a))).unwrap()
    };
    let common = best(&|threshold| (0..LABELS_N).map(|at| f1(at, threshold)).sum());
    std::array::from_fn(|at| {
        let n = notes.iter().filter(|note| note.holds[at]).count() as f32;
        (n * best(&|threshold| f1(at, threshold)) + COMMON_NOTES * common) / (n + COMMON_NOTES)
    })
}

/// Makes probabilities fit how often a label holds: two numbers for all labels, on notes held out (Platt, 1999,
/// *Probabilistic outputs for support vector machines*). A head of few notes is too cautious, as its weights are held down.
struct Scale {
    slope: f64,
    shift: f64,
}

impl Scale {
    /// The least log loss, by Newton's method.
    fn fit(predicted: &[PerLabel<f32>], notes: &[Note]) -> Self {
        let pairs: Vec<(f64, f64)> = predicted
            .iter()
            .zip(notes)
            .flat_map(|(p, note)| p.iter().zip(note.holds))
            .map(|(p, holds)| (logit(*p), f64::from(u8::from(holds))))
            .collect();
        let (mut slope, mut shift) = (1.0, 0.0);
        for _ in 0..20 {
            let (mut gradient, mut curve) = ([0.0; 2], [0.0; 3]);
            for (z, holds) in &pairs {
                let p = 1.0 / (1.0 + (-(slope * z + shift)).exp());
                let (error, weight) = (p - holds, p * (1.0 - p));
                gradient = [gradient[0] + error * z, gradient[1] + error];
                curve = [curve[0] + weight * z * z, curve[1] + weight * z, curve[2] + weight];
            }
            let determinant = curve[0] * curve[2] - curve[1] * curve[1];
            slope -= (curve[2] * gradient[0] - curve[1] * gradient[1]) / determinant;
            shift -= (curve[0] * gradient[1] - curve[1] * gradient[0]) / determinant;
        }
        Self { slope, shift }
    }

    fn of(&self, predicted: &[PerLabel<f32>]) -> Vec<PerLabel<f32>> {
        let one = |p: f32| (1.0 / (1.0 + (-(self.slope * logit(p) + self.shift)).exp())) as f32;
        predicted.iter().map(|p| p.map(one)).collect()
    }
}

fn logit(p: f32) -> f64 {
    let p = f64::from(p).clamp(1e-7, 1.0 - 1e-7);
    (p / (1.0 - p)).ln()
}

/// Macro-F1 on notes held out.
pub(super) fn validated(numbers: &[Vec<f32>], notes: &[Note], decay: f64) -> f64 {
    let predicted = out_of_fold(numbers, notes, decay);
    let predicted = Scale::fit(&predicted, notes).of(&predicted);
    let thresholds = thresholds(&predicted, notes);
    let holds: Vec<_> = predicted.iter().map(|p| held(p, &thresholds)).collect();
    Scores::of(&holds, notes).macro_f1()
}

/// The bytes of `heads.safetensors`.
pub(super) fn heads(with_model: &[Vec<f32>], words: &[Vec<f32>], notes: &[Note]) -> Vec<u8> {
    let mut tensors = HashMap::new();
    for (name, numbers) in [("model", with_model), ("words", words)] {
        let all: Vec<&Note> = notes.iter().collect();
        let head = Head::fit(&matrix(numbers), &truth(&all), DECAY).unwrap();
        let predicted = out_of_fold(numbers, notes, DECAY);
        let scale = Scale::fit(&predicted, notes);
        let thresholds = thresholds(&scale.of(&predicted), notes);
        let weights = (head.weights.t().unwrap().contiguous().unwrap() * scale.slope).unwrap();
        let bias = head.bias.squeeze(0).unwrap().affine(scale.slope, scale.shift).unwrap();
        tensors.insert(format!("{name}.weights"), weights.to_dtype(DType::F16).unwrap());
        tensors.insert(format!("{name}.bias"), bias);
        tensors.insert(format!("{name}.thresholds"), Tensor::new(&thresholds, &Device::Cpu).unwrap());
    }
    bytes(&tensors)
}

/// Heads that know nothing: enough to ask for numbers before there are any.
pub(super) fn none() -> Heads {
    let mut tensors = HashMap::new();
    for (name, numbers) in [("model", ALL_N), ("words", WORDS_N)] {
        let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
        tensors.insert(format!("{name}.weights"), zeros(&[LABELS_N, numbers]));
        tensors.insert(format!("{name}.bias"), zeros(&[LABELS_N]));
        tensors.insert(format!("{name}.thresholds"), zeros(&[LABELS_N]));
    }
    Heads::from_bytes(&bytes(&tensors)).unwrap()
}

fn bytes(tensors: &HashMap<String, Tensor>) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("heads.safetensors");
    candle_core::safetensors::save(tensors, &path).unwrap();
    std::fs::read(path).unwrap()
}
