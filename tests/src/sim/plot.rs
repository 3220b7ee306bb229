//! Readings as a picture.

use std::error::Error;
use std::ops::Range;
use std::path::Path;

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use super::report::{Readable, Reading};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Point = (f64, f64);
type Curve = (&'static str, RGBColor, Vec<Point>);

const SIZE: (u32, u32) = (1_000, 900);
/// More points than this cannot be told apart.
const COLUMNS: usize = 1_000;
/// Nothing less is shown on the logarithmic scale, in seconds.
const LEAST: f64 = 1e-9;

const TRUTH: RGBColor = RGBColor(0x1f, 0x77, 0xb4);
const BELIEF: RGBColor = RGBColor(0xff, 0x7f, 0x0e);
const BOUND: RGBColor = RGBColor(0x2c, 0xa0, 0x2c);

/// Draws the clock's error and what the engine believes of it, its size beside the bound, and the
/// frequency, as SVG.
///
/// # Errors
/// If there is nothing to draw or the file cannot be written.
pub fn draw(path: &Path, title: &str, settle: f64, readings: &[Reading]) -> Result {
    let end = readings.last().ok_or("nothing to plot")?.time;
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let root = root.titled(title, ("sans-serif", 20))?;
    let panels = root.split_evenly((3, 1));
    let time = (0.0, end / 3_600.0);

    let settled = || readings.iter().filter(|reading| reading.time >= settle);
    let greatest = settled().map(|reading| reading.error.abs()).fold(LEAST, f64::max) * 1.1;
    let (scale, unit) = Readable(greatest).unit();
    let error = extremes(readings, |reading| Some(reading.error * scale));
    let estimate = extremes(readings, |reading| Some(reading.estimate? * scale));
    linear(
        &panels[0],
        &format!("error, {unit}"),
        time,
        -greatest * scale..greatest * scale,
        &[("error", TRUTH, error), ("the engine's estimate of it", BELIEF, estimate)],
    )?;

    let size = greatest_of_each(readings, |reading| Some(reading.error.abs()));
    let bound = greatest_of_each(readings, |reading| reading.bound);
    logarithmic(&panels[1], time, &[("error", TRUTH, size), ("bound", BOUND, bound)])?;

    // The engine makes up for the counter's rate with one of the other sign.
    let rate = |reading: &Reading| reading.counter_rate * 1e6;
    let (low, high) =
        settled().map(rate).fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), rate| {
            (low.min(rate), high.max(rate))
        });
    let margin = (0.1 * (high - low)).max(0.01);
    let kept = extremes(readings, |reading| Some(-reading.frequency * 1e6));
    let rate = extremes(readings, |reading| Some(rate(reading)));
    linear(
        &panels[2],
        "frequency, ppm",
        time,
        low - margin..high + margin,
        &[("the engine's estimate of it", BELIEF, kept), ("the counter's frequency", TRUTH, rate)],
    )?;
    root.present()?;
    Ok(())
}

/// The least and the greatest value of each column, over the hours.
fn extremes(readings: &[Reading], value: impl Fn(&Reading) -> Option<f64>) -> Vec<Point> {
    columns(readings, value)
        .flat_map(
            |(least, greatest)| {
                if least.0 <= greatest.0 { [least, greatest] } else { [greatest, least] }
            },
        )
        .collect()
}

/// The greatest value of each column, over the hours.
fn greatest_of_each(readings: &[Reading], value: impl Fn(&Reading) -> Option<f64>) -> Vec<Point> {
    columns(readings, value).map(|(_, greatest)| greatest).collect()
}

fn columns(
    readings: &[Reading],
    value: impl Fn(&Reading) -> Option<f64>,
) -> impl Iterator<Item = (Point, Point)> {
    readings.chunks(readings.len().div_ceil(COLUMNS)).filter_map(move |column| {
        let known =
            || column.iter().filter_map(|reading| Some((reading.time / 3_600.0, value(reading)?)));
        let by_value = |one: &Point, two: &Point| one.1.total_cmp(&two.1);
        Some((known().min_by(by_value)?, known().max_by(by_value)?))
    })
}

fn linear(
    area: &Area<'_>,
    label: &str,
    (start, end): (f64, f64),
    range: Range<f64>,
    curves: &[Curve],
) -> Result {
    let mut chart = frame(area).build_cartesian_2d(start..end, range.clone())?;
    chart.configure_mesh().x_desc("hours").y_desc(label).light_line_style(WHITE).draw()?;
    lines(&mut chart, range, curves)
}

fn logarithmic(area: &Area<'_>, (start, end): (f64, f64), curves: &[Curve]) -> Result {
    let values = curves.iter().flat_map(|(.., points)| points).map(|(_, value)| *value);
    let range = LEAST..values.fold(10.0 * LEAST, f64::max);
    let mut chart = frame(area).build_cartesian_2d(start..end, range.clone().log_scale())?;
    chart
        .configure_mesh()
        .x_desc("hours")
        .y_desc("size of the error")
        .y_label_formatter(&|value| Readable(*value).to_string())
        .light_line_style(WHITE)
        .draw()?;
    lines(&mut chart, range, curves)
}

fn frame<'a, 'b>(area: &'a Area<'b>) -> ChartBuilder<'a, 'b, SVGBackend<'b>> {
    let mut chart = ChartBuilder::on(area);
    chart.margin(8).x_label_area_size(36).y_label_area_size(76);
    chart
}

/// Draws the curves, of what leaves the range only that it does, and their names.
fn lines<'a, Y>(
    chart: &mut ChartContext<'a, SVGBackend<'a>, Cartesian2d<RangedCoordf64, Y>>,
    range: Range<f64>,
    curves: &[Curve],
) -> Result
where
    Y: Ranged<ValueType = f64>,
{
    for &(name, color, ref points) in curves {
        let inside =
            points.iter().map(|&(time, value)| (time, value.clamp(range.start, range.end)));
        chart
            .draw_series(LineSeries::new(inside, color))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .draw()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::{Link, Oscillator, Queueing, Server, World};

    #[test]
    fn draws_each_curve() {
        let mut readings = Vec::new();
        let _ = World::new(Server::new(Link::new(1e-4, Queueing::Exponential(1e-5))))
            .oscillator(Oscillator { frequency: 1e-5, wander: 1e-8, ..Oscillator::default() })
            .observe(|reading| readings.push(*reading));
        let directory = crate::scratch().unwrap();
        let path = directory.path().join("plot.svg");
        draw(&path, "a title", 600.0, &readings).unwrap();
        let drawn = std::fs::read_to_string(path).unwrap();
        assert!(drawn.starts_with("<svg") && drawn.trim_end().ends_with("</svg>"));
        for text in ["a title", "error, us", "size of the error", "bound", "frequency, ppm"] {
            assert!(drawn.contains(text), "{text}");
        }
        // A curve has thousands of points, or in the second panel one a column.
        let long = drawn.lines().filter(|line| line.contains("<polyline") && line.len() > 5_000);
        assert_eq!(long.count(), 6);
        assert!(draw(directory.path(), "", 0.0, &[]).is_err());
    }
}
