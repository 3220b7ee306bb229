//! What is seen on the terminal: how the clock is, how its offset and error bound went, its peers.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Block, Cell, Chart, Dataset, GraphType, Row, Table, TableState};

use super::Sample;
use crate::control::ClientError;
use crate::table::{HEADINGS, WIDTHS, cells, seconds};

/// How much of the past is kept: more than a terminal has columns.
const KEPT: usize = 512;
/// Columns by what they are worth where there is no room for all: name, standing, offset, delay, reach,
/// poll, stratum, counts, options.
const WORTH: [usize; 9] = [0, 1, 6, 7, 4, 5, 3, 8, 2];
/// Lines of a graph with its frame.
const GRAPH: u16 = 9;
/// Terminals with fewer lines show no graphs.
const ROOM_FOR_GRAPHS: u16 = 18;
/// The least range that a graph shows, in seconds.
const FLAT: f64 = 1e-9;

/// All of it.
#[derive(Debug)]
pub(super) struct Screen {
    sample: Sample,
    past: VecDeque<(Instant, Option<f64>, Option<f64>)>,
    /// Why the daemon did not answer last.
    lost: Option<String>,
    /// The first peer that is shown.
    first: usize,
    interval: Duration,
    coloured: bool,
}

impl Screen {
    pub(super) fn new(sample: Sample, interval: Duration, coloured: bool) -> Self {
        let past = VecDeque::from([point(&sample)]);
        Self { sample, past, lost: None, first: 0, interval, coloured }
    }

    /// What the daemon says now; while it does not answer, the last answer stays.
    pub(super) fn take(&mut self, sample: Result<Sample, ClientError>) {
        let sample = match sample {
            Ok(sample) => sample,
            Err(error) => return self.lost = Some(error.to_string()),
        };
        self.past.truncate(KEPT - 1);
        self.past.push_front(point(&sample));
        (self.sample, self.lost) = (sample, None);
    }

    /// Shows other peers, those further down.
    pub(super) fn scroll(&mut self, down: isize) {
        let last = self.sample.peers.len().saturating_sub(1);
        self.first = self.first.saturating_add_signed(down).min(last);
    }

    pub(super) fn draw(&self, frame: &mut Frame<'_>) {
        let graphs = if frame.area().height < ROOM_FOR_GRAPHS { 0 } else { GRAPH };
        let [heading, figures, offset, peers, footer] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(1),
            Constraint::Length(graphs),
            Constraint::Min(0),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        let [offset, bound] =
            Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(offset);
        frame.render_widget(self.heading(), heading);
        frame.render_widget(self.figures(), figures);
        if graphs > 0 {
            self.graph(frame, offset, "offset", |(_, offset, _)| *offset);
            self.graph(frame, bound, "error bound", |(_, _, bound)| *bound);
        }
        self.peers(frame, peers);
        frame.render_widget(self.footer(), footer);
    }

    fn style(&self, colour: Color) -> Style {
        if self.coloured { Style::new().fg(colour) } else { Style::new() }
    }

    fn heading(&self) -> Line<'_> {
        let status = &self.sample.status;
        let (state, colour) = match (status.synced, status.held) {
            (true, _) => ("synced", Color::Green),
            (false, true) => ("unsynced, held: see chimectl accept", Color::Red),
            (false, false) => ("unsynced", Color::Yellow),
        };
        Line::from_iter([
            Span::raw(format!("{} UTC  ", self.sample.time)),
            Span::styled(state, self.style(colour)),
            Span::raw(format!(
                "  stratum {}  reference {}  {} of {} peers valid",
                status.stratum, status.reference, status.peers_valid, status.peers
            )),
        ])
    }

    fn figures(&self) -> Line<'_> {
        let status = &self.sample.status;
        Line::raw(format!(
            "offset {}  error bound {}  likely {}  frequency {:+.3} ppm",
            seconds(status.offset),
            seconds(status.error_bound),
            seconds(status.likely_error),
            status.frequency
        ))
    }

    fn graph(
        &self,
        frame: &mut Frame<'_>,
        area: Rect,
        name: &str,
        of: impl Fn(&(Instant, Option<f64>, Option<f64>)) -> Option<f64>,
    ) {
        let Some((now, ..)) = self.past.front() else { return };
        let age = |at: &Instant| (*now - *at).as_secs_f64();
        let points: Vec<_> =
            self.past.iter().filter_map(|point| Some((-age(&point.0), of(point)?))).collect();
        let shown = f64::from(area.width) * self.interval.as_secs_f64();
        let points: Vec<_> = points.into_iter().filter(|(x, _)| *x >= -shown).collect();
        let values = points.iter().map(|(_, value)| *value);
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        let block = Block::bordered().border_style(self.style(Color::DarkGray)).title(name);
        if points.is_empty() {
            return frame.render_widget(block.title("not known yet"), area);
        }
        let middle = low.midpoint(high);
        let reach = (high - middle).max(FLAT);
        let axis = Axis::default().style(self.style(Color::DarkGray));
        let chart = Chart::new(vec![
            Dataset::default()
                .marker(Marker::Braille)
                .graph_type(GraphType::Line)
                .style(self.style(Color::Cyan))
                .data(&points),
        ])
        .block(block)
        .x_axis(
            axis.clone().bounds([-shown, 0.0]).labels([format!("-{shown:.0} s"), "now".to_owned()]),
        )
        .y_axis(
            axis.bounds([middle - reach, middle + reach])
                .labels([seconds(Some(middle - reach)), seconds(Some(middle + reach))]),
        );
        frame.render_widget(chart, area);
    }

    fn peers(&self, frame: &mut Frame<'_>, area: Rect) {
        let shown = columns(area.width.into());
        let row = |cells: [String; 9]| {
            let cells = cells.into_iter().enumerate();
            Row::new(cells.filter(|(place, _)| shown.contains(place)).map(aligned))
        };
        let rows = self.sample.peers.iter().map(|peer| {
            let style = match (peer.valid, peer.standing.as_str()) {
                (_, "selected" | "combined") => self.style(Color::Green),
                (true, _) => Style::new(),
                (false, _) => self.style(Color::Yellow),
            };
            row(cells(peer)).style(style)
        });
        let widths = shown.iter().filter_map(|&place| match place {
            0 => Some(Constraint::Fill(1)),
            _ => WIDTHS.get(place).map(|&width| Constraint::Length(width as u16)),
        });
        let heading = row(HEADINGS.map(str::to_owned)).style(self.style(Color::DarkGray));
        let table = Table::new(rows, widths).header(heading);
        let mut state = TableState::default().with_offset(self.first);
        frame.render_stateful_widget(table, area, &mut state);
    }

    fn footer(&self) -> Line<'_> {
        match &self.lost {
            Some(error) => Line::styled(error.as_str(), self.style(Color::Red)),
            None => Line::styled(
                format!("q: end  up, down: other peers  every {} s", self.interval.as_secs_f64()),
                self.style(Color::DarkGray),
            ),
        }
    }
}

/// The places of those for which there is room.
fn columns(mut room: usize) -> BTreeSet<usize> {
    let fits = move |place: &usize| {
        let needed = WIDTHS.get(*place).map_or(0, |width| width + 1);
        room.checked_sub(needed).map(|left| room = left).is_some()
    };
    WORTH.into_iter().take_while(fits).collect()
}

fn point(sample: &Sample) -> (Instant, Option<f64>, Option<f64>) {
    (Instant::now(), sample.status.offset, sample.status.error_bound)
}

fn aligned((place, text): (usize, String)) -> Cell<'static> {
    let line = Line::from(text);
    Cell::new(if place < 3 { line } else { line.right_aligned() })
}
