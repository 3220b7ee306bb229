//! A plot against time, in SVG.

use std::fmt::Write;
use std::time::Duration;

use maud::{Markup, html};

/// The picture, in its own units, and where in it the curves are.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 180.0;
const LEFT: f64 = 96.0;
const RIGHT: f64 = WIDTH - 8.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = HEIGHT - 24.0;
/// Lines across, about.
const STEPS: f64 = 4.0;

/// A curve: how long ago in seconds, and how much; gaps where nothing is known.
#[derive(Debug)]
pub(super) struct Curve {
    pub(super) name: &'static str,
    pub(super) points: Vec<(f64, Option<f64>)>,
}

/// Draws curves over the time from `length` ago until now; `unit` says what a value is, and is as
/// fine as `resolution`.
pub(super) fn plot(
    title: &str,
    length: Duration,
    curves: &[Curve],
    resolution: f64,
    unit: impl Fn(f64) -> String,
) -> Markup {
    let values = curves.iter().flat_map(|curve| curve.points.iter().filter_map(|(_, y)| *y));
    let scale = Scale::of(values.filter(|value| value.is_finite()), resolution);
    let length = length.as_secs_f64().max(1.0);
    let x = |ago: f64| RIGHT - (ago / length).clamp(0.0, 1.0) * (RIGHT - LEFT);
    html! {
        figure {
            figcaption {
                (title)
                @for (place, curve) in curves.iter().enumerate().filter(|_| curves.len() > 1) {
                    " " span class={ "key c" (place) } { (curve.name) }
                }
            }
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(title) {
                @if let Some(scale) = &scale {
                    @for line in scale.lines() {
                        @let y = format!("{:.1}", scale.y(line));
                        line class="grid" x1=(LEFT) x2=(RIGHT) y1=(y) y2=(y) {}
                        text x=(LEFT - 8.0) y=(y) text-anchor="end" dominant-baseline="middle" {
                            (unit(line))
                        }
                    }
                    @for (place, curve) in curves.iter().enumerate() {
                        path class={ "c" (place) } d=(path(curve, x, scale)) {}
                    }
                } @else {
                    text x=((LEFT + RIGHT) / 2.0) y=(HEIGHT / 2.0) text-anchor="middle" {
                        "not known yet"
                    }
                }
                text x=(LEFT) y=(HEIGHT - 6.0) { (ago(length)) }
                text x=(RIGHT) y=(HEIGHT - 6.0) text-anchor="end" { "now" }
            }
        }
    }
}

/// A line from point to point, or a dot, anew after each gap.
fn path(curve: &Curve, x: impl Fn(f64) -> f64, scale: &Scale) -> String {
    let mut path = String::new();
    let runs = curve.points.split(|(_, value)| !value.is_some_and(f64::is_finite));
    for run in runs.filter(|run| !run.is_empty()) {
        for (place, (ago, value)) in run.iter().enumerate() {
            let command = if place == 0 { 'M' } else { 'L' };
            let (x, y) = (x(*ago), scale.y(value.unwrap_or_default()));
            // A string takes whatever is written.
            let _ = write!(path, "{command}{x:.1} {y:.1}");
        }
        if run.len() == 1 {
            path += "h0";
        }
    }
    path
}

/// From which value to which, and between two lines.
#[derive(Debug, PartialEq)]
struct Scale {
    low: f64,
    high: f64,
    step: f64,
}

impl Scale {
    /// Round numbers around the values, if there are any.
    fn of(values: impl Iterator<Item = f64>, resolution: f64) -> Option<Self> {
        let (low, high) = values
            .fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
        if low > high {
            return None;
        }
        // Something that does not change, too, has a height.
        let least = low.abs().max(high.abs()) * 1e-3;
        let height = (high - low).max(least).max(resolution * STEPS);
        let power = 10_f64.powf((height / STEPS).log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|digit| digit * power);
        let step = step.into_iter().find(|step| *step * STEPS >= height).unwrap_or(height);
        let (first, last) = ((low / step).floor(), (high / step).ceil());
        Some(Self { low: first * step, high: last.max(first + 1.0) * step, step })
    }

    fn y(&self, value: f64) -> f64 {
        BOTTOM - (value - self.low) / (self.high - self.low) * (BOTTOM - TOP)
    }

    fn lines(&self) -> impl Iterator<Item = f64> {
        let count = ((self.high - self.low) / self.step).round() as u32;
        // Nothing remains of what is not quite zero.
        let line = |place| self.low + f64::from(place) * self.step;
        (0..=count).map(line).map(|line| if line.abs() < self.step / 2.0 { 0.0 } else { line })
    }
}

fn ago(secs: f64) -> String {
    match secs {
        secs if secs < 120.0 => format!("{secs:.0} s ago"),
        secs if secs < 7_200.0 => format!("{:.0} min ago", secs / 60.0),
        secs => format!("{:.1} h ago", secs / 3_600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale(values: &[f64]) -> (f64, f64, Vec<f64>) {
        let scale = Scale::of(values.iter().copied(), 1e-3).unwrap();
        (scale.low, scale.high, scale.lines().collect())
    }

    #[test]
    fn lines_are_at_round_numbers() {
        assert_eq!(scale(&[-7.0, 11.0]), (-10.0, 15.0, vec![-10.0, -5.0, 0.0, 5.0, 10.0, 15.0]));
        assert_eq!(scale(&[0.0]), (0.0, 1e-3, vec![0.0, 1e-3]));
        assert_eq!(Scale::of([].into_iter(), 1.0), None);
        for value in [3.0, -3.0, 1e-30, 1e12, f64::MAX / 4.0] {
            let (low, high, lines) = scale(&[value]);
            assert!(low <= value && value <= high && low < high, "{value}: {low} {high}");
            assert!((2..9).contains(&lines.len()), "{value}: {lines:?}");
        }
    }

    #[test]
    fn a_gap_is_one() {
        let points = vec![
            (4.0, Some(0.0)),
            (3.0, Some(1.0)),
            (2.0, None),
            (1.5, Some(f64::NAN)),
            (1.0, Some(1.0)),
        ];
        let curve = Curve { name: "it", points };
        let scale = Scale { low: 0.0, high: 1.0, step: 1.0 };
        assert_eq!(path(&curve, |ago| 10.0 - ago, &scale), "M6.0 156.0L7.0 10.0M9.0 10.0h0");
    }

    #[test]
    fn a_picture_is_escaped() {
        let curves = [Curve { name: "it", points: vec![(1.0, Some(1.0))] }];
        let unit = |_| "<&\">".to_owned();
        let picture = plot("\"<b>", Duration::from_secs(60), &curves, 1.0, unit).into_string();
        assert!(picture.contains("aria-label=\"&quot;&lt;b&gt;\""), "{picture}");
        assert!(picture.contains(">&lt;&amp;&quot;&gt;</text>"), "{picture}");
        assert!(picture.contains(">60 s ago</text>"), "{picture}");
        let nothing = plot("it", Duration::ZERO, &[], 1.0, |_| String::new()).into_string();
        assert!(nothing.contains("not known yet"), "{nothing}");
    }
}
