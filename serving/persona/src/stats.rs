//! Tests against chance, and how sure a share or a difference is. Pure.

/// P(X ≥ k) for X ~ Binomial(n, p).
pub(crate) fn binomial_tail(n: u32, k: u32, p: f64) -> f64 {
    if k == 0 {
        return 1.0;
    }
    if k > n {
        return 0.0;
    }
    let odds = (p / (1.0 - p)).ln();
    let mut term = f64::from(n) * (1.0 - p).ln();
    let mut sum = 0.0;
    for i in 0..=n {
        if i >= k {
            sum += term.exp();
        }
        term += (f64::from(n - i) / f64::from(i + 1)).ln() + odds;
    }
    sum.min(1.0)
}

/// The probability that a true share is at least `share` when `k` of `n` were seen and every share was equally likely
/// before: P(Beta(k+1, n−k+1) ≥ share), which equals P(Binomial(n+1, share) ≤ k).
pub(crate) fn share_at_least(n: u32, k: u32, share: f64) -> f64 {
    1.0 - binomial_tail(n + 1, k + 1, share)
}

/// The standard normal distribution function (Abramowitz and Stegun 7.1.26, error below 2e-7).
pub(crate) fn normal(z: f64) -> f64 {
    let x = z.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let poly = t
        * (0.254_829_592
            + t * (-0.284_496_736 + t * (1.421_413_741 + t * (-1.453_152_027 + t * 1.061_405_429))));
    let erf = 1.0 - poly * (-x * x).exp();
    0.5 * (1.0 + erf.copysign(z))
}

/// The difference of the means of two samples, and its standard error (Welch); `None` below two values each.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn difference(a: &[f64], b: &[f64]) -> Option<(f64, f64)> {
    let moments = |values: &[f64]| {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
        (values.len() >= 2).then_some((mean, variance / n))
    };
    let ((mean_a, error_a), (mean_b, error_b)) = (moments(a)?, moments(b)?);
    Some((mean_a - mean_b, (error_a + error_b).sqrt().max(1e-6)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_and_shares() {
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-6, "{a} {b}");
        near(binomial_tail(10, 0, 0.3), 1.0);
        near(binomial_tail(10, 11, 0.3), 0.0);
        near(binomial_tail(2, 2, 0.5), 0.25);
        near(binomial_tail(10, 8, 0.5), 56.0 / 1024.0);
        // Of nothing seen, every share is equally likely.
        near(share_at_least(0, 0, 0.7), 0.3);
        // P(Beta(2, 1) ≥ x) = 1 − x².
        near(share_at_least(1, 1, 0.5), 0.75);
        assert!(share_at_least(5_000, 4_000, 0.7) > 0.999_999);
        near(normal(0.0), 0.5);
        assert!((normal(1.96) - 0.975).abs() < 1e-4 && (normal(-1.96) - 0.025).abs() < 1e-4);
        assert_eq!(difference(&[1.0], &[2.0, 3.0]), None);
    }
}
