/** Where the boxes and edges of the diagram lie, in CSS pixels of the room that there is: text is never scaled. */

import type { BoxName } from "../frames.ts";

export interface Place {
  x: number;
  y: number;
  width: number;
  height: number;
}

export type Point = [number, number];

/** What flows along an edge, see flow.ts. */
export type Traffic = "transactions" | "taken" | "decisions" | "rows" | "states" | "none";

export interface Edge {
  id: string;
  from: BoxName;
  to: BoxName;
  /** The corners of the line, in its direction. All parts are horizontal or vertical. */
  points: Point[];
  traffic: Traffic;
  label: string;
  labelAt: Point;
  anchor: "start" | "middle" | "end";
}

export interface Layout {
  height: number;
  places: Record<BoxName, Place>;
  edges: Edge[];
  /** Room for a few lines of explanation, where there is some. */
  note: Place | null;
}

const BOX_HEIGHT = 108;
/** Height of boxes with at most two numbers, where boxes stand above each other. */
const SHORT_HEIGHT = 92;
/** From this width on there are five columns; below `COLUMNS_FROM` the boxes stand above each other. */
const FIVE_FROM = 1_150;
const COLUMNS_FROM = 780;

/** The layout for a width in CSS pixels. */
export function layoutFor(width: number): Layout {
  if (width >= FIVE_FROM) return fiveColumns(width);
  return width >= COLUMNS_FROM ? fourColumns(width) : oneColumn(width);
}

/** Two rows: the path of a decision above, the learning of the model below, both from left to right. */
function fiveColumns(width: number): Layout {
  const boxWidth = Math.round(Math.min(210, (width - 4 * 88) / 5));
  const grid = gridOf(width, 5, boxWidth, [34, 212]);
  const places: Record<BoxName, Place> = {
    generator: grid(0, 0),
    kafka: grid(1, 0),
    stream: grid(2, 0),
    store: grid(3, 0),
    scoring: grid(4, 0),
    archive: grid(1, 1),
    monitor: grid(2, 1),
    pipelines: grid(3, 1),
    mlflow: grid(4, 1),
  };
  const { stream, scoring, store, archive } = places;
  const over = (from: Place, fromX: number, to: Place, toX: number, y: number): Point[] => [
    [fromX, from.y],
    [fromX, y],
    [toX, y],
    [toX, to.y],
  ];
  return {
    ...shared(places, grid(0, 1)),
    edges: [
      ...sharedEdges(places),
      ...storeBeside(places),
      {
        id: "rows",
        from: "stream",
        to: "scoring",
        traffic: "rows",
        label: "feature rows",
        anchor: "middle",
        points: over(stream, right(stream) - 30, scoring, scoring.x + 54, 6),
        labelAt: [middle(store), 2],
      },
      {
        id: "scores",
        from: "scoring",
        to: "stream",
        traffic: "rows",
        label: "scores",
        anchor: "middle",
        points: over(scoring, scoring.x + 30, stream, right(stream) - 54, 23),
        labelAt: [middle(store), 18],
      },
      tables(places, archive.y + 34, right(archive) + 26),
      across(places, "days", "archive", "monitor", archive.y + 74, "none", "closed days", true),
    ],
  };
}

/** Three rows, for less room. */
function fourColumns(width: number): Layout {
  const boxWidth = Math.round(Math.min(248, Math.max(150, (width - 3 * 92) / 4)));
  const grid = gridOf(width, 4, boxWidth, [2, 160, 318]);
  const places: Record<BoxName, Place> = {
    generator: grid(0, 0),
    kafka: grid(1, 0),
    stream: grid(2, 0),
    scoring: grid(3, 0),
    archive: grid(1, 1),
    store: grid(2, 1),
    monitor: grid(1, 2),
    pipelines: grid(2, 2),
    mlflow: grid(3, 2),
  };
  const { stream, archive } = places;
  return {
    ...shared(places, grid(0, 2)),
    edges: [
      ...sharedEdges(places),
      down(places, "states", "stream", "store", middle(stream) + 34, "states", "states"),
      down(places, "states-back", "store", "stream", middle(stream) + 10, "states", ""),
      across(places, "rows", "stream", "scoring", upper(stream), "rows", "feature rows"),
      across(places, "scores", "scoring", "stream", lower(stream), "rows", "scores", true),
      tables(places, archive.y + 28, right(archive) + 46),
      down(places, "days", "archive", "monitor", middle(archive), "none", "closed days", true),
    ],
  };
}

/** The order of the data from top to bottom, with the returns in rails at both sides. */
function oneColumn(width: number): Layout {
  const rail = 22;
  const gap = 46;
  const full = width - 2 * rail;
  const half = (full - 12) / 2;
  let y = 2;
  const next = (height: number, x = rail, boxWidth = full, stay = false): Place => {
    const place = { x, y, width: boxWidth, height };
    if (!stay) y += height + gap;
    return place;
  };
  const places: Record<BoxName, Place> = {
    generator: next(SHORT_HEIGHT),
    kafka: next(BOX_HEIGHT),
    stream: next(BOX_HEIGHT),
    store: next(BOX_HEIGHT, rail, half, true),
    scoring: next(BOX_HEIGHT, rail + half + 12, half),
    archive: next(SHORT_HEIGHT),
    monitor: next(BOX_HEIGHT),
    pipelines: next(SHORT_HEIGHT),
    mlflow: next(SHORT_HEIGHT),
  };
  const centre = width / 2;
  const { store, scoring } = places;
  const railed = (
    id: string,
    from: BoxName,
    to: BoxName,
    x: number,
    start: number,
    end: number,
    traffic: Traffic,
  ): Edge => {
    const edgeOf = (place: Place) => (x < centre ? place.x : right(place));
    const [startY, endY] = [places[from].y + start, places[to].y + end];
    return {
      id,
      from,
      to,
      traffic,
      label: "",
      anchor: "start",
      labelAt: [x, startY],
      points: [
        [edgeOf(places[from]), startY],
        [x, startY],
        [x, endY],
        [edgeOf(places[to]), endY],
      ],
    };
  };
  return {
    height: y - gap + 2,
    places,
    note: null,
    edges: [
      down(places, "transactions", "generator", "kafka", centre - 16, "transactions", "transactions", true),
      down(places, "labels", "generator", "kafka", centre + 16, "none", "labels"),
      down(places, "batches", "kafka", "stream", centre - 16, "taken", "batches", true),
      down(places, "decisions", "stream", "kafka", centre + 16, "decisions", "decisions"),
      down(places, "states", "stream", "store", middle(store) - 10, "states", "states", true),
      down(places, "states-back", "store", "stream", middle(store) + 10, "states", ""),
      down(places, "rows", "stream", "scoring", middle(scoring) - 10, "rows", "rows", true),
      down(places, "scores", "scoring", "stream", middle(scoring) + 10, "rows", "scores"),
      railed("archived", "kafka", "archive", 7, 54, 46, "transactions"),
      railed("tables", "archive", "stream", width - 7, 34, 54, "none"),
      down(places, "days", "archive", "monitor", centre, "none", "closed days"),
      down(places, "decay", "monitor", "pipelines", centre, "none", "model decayed"),
      down(places, "challenger", "pipelines", "mlflow", centre, "none", "challenger"),
      railed("champion", "mlflow", "scoring", width - 15, 46, 74, "none"),
    ],
  };
}

function gridOf(
  width: number,
  columns: number,
  boxWidth: number,
  rows: number[],
): (column: number, row: number) => Place {
  const step = (width - boxWidth) / (columns - 1);
  return (column, row) => ({ x: Math.round(column * step), y: rows[row]!, width: boxWidth, height: BOX_HEIGHT });
}

function shared(places: Record<BoxName, Place>, note: Place): Omit<Layout, "edges"> {
  return { height: Math.max(...Object.values(places).map(bottom)) + 2, places, note };
}

/** Edges that are the same with four and with five columns. */
function sharedEdges(places: Record<BoxName, Place>): Edge[] {
  const { kafka, monitor } = places;
  return [
    across(places, "transactions", "generator", "kafka", upper(kafka), "transactions", "transactions"),
    across(places, "labels", "generator", "kafka", lower(kafka), "none", "labels", true),
    across(places, "batches", "kafka", "stream", upper(kafka), "taken", "batches"),
    across(places, "decisions", "stream", "kafka", lower(kafka), "decisions", "decisions", true),
    down(places, "archived", "kafka", "archive", middle(kafka), "transactions", "records", true),
    across(places, "decay", "monitor", "pipelines", monitor.y + BOX_HEIGHT / 2, "none", "model decayed"),
    across(places, "challenger", "pipelines", "mlflow", monitor.y + BOX_HEIGHT / 2, "none", "challenger"),
    down(places, "champion", "mlflow", "scoring", middle(places.mlflow), "none", "champion"),
  ];
}

function storeBeside(places: Record<BoxName, Place>): Edge[] {
  return [
    across(places, "states", "stream", "store", upper(places.stream), "states", "states"),
    across(places, "states-back", "store", "stream", lower(places.stream), "states", ""),
  ];
}

/** The reference table of the day goes from the archive into the lower side of the stream worker. */
function tables({ archive, stream, kafka }: Record<BoxName, Place>, startY: number, turnX: number): Edge {
  const y = (bottom(kafka) + archive.y) / 2;
  const endX = stream.x + 32;
  return {
    id: "tables",
    from: "archive",
    to: "stream",
    traffic: "none",
    label: "tables",
    anchor: "end",
    points: [
      [right(archive), startY],
      [turnX, startY],
      [turnX, y],
      [endX, y],
      [endX, bottom(stream)],
    ],
    labelAt: [endX - 4, y - 7],
  };
}

/** A horizontal line between two boxes beside each other, at `y`. */
function across(
  places: Record<BoxName, Place>,
  id: string,
  from: BoxName,
  to: BoxName,
  y: number,
  traffic: Traffic,
  label: string,
  below = false,
): Edge {
  const isRight = places[from].x < places[to].x;
  const [start, end] = isRight ? [right(places[from]), places[to].x] : [places[from].x, right(places[to])];
  return {
    id,
    from,
    to,
    traffic,
    label,
    anchor: "middle",
    points: [
      [start, y],
      [end, y],
    ],
    labelAt: [(start + end) / 2, below ? y + 16 : y - 8],
  };
}

/** A vertical line between two boxes above each other, at `x`. */
function down(
  places: Record<BoxName, Place>,
  id: string,
  from: BoxName,
  to: BoxName,
  x: number,
  traffic: Traffic,
  label: string,
  labelLeft = false,
): Edge {
  const isUp = places[from].y > places[to].y;
  const [start, end] = isUp ? [places[from].y, bottom(places[to])] : [bottom(places[from]), places[to].y];
  const labelAt: Point = [labelLeft ? x - 8 : x + 8, (start + end) / 2 + 4];
  return {
    id,
    from,
    to,
    traffic,
    label,
    anchor: labelLeft ? "end" : "start",
    points: [
      [x, start],
      [x, end],
    ],
    labelAt,
  };
}

function upper(place: Place): number {
  return place.y + 40;
}

function lower(place: Place): number {
  return place.y + 70;
}

function right(place: Place): number {
  return place.x + place.width;
}

function bottom(place: Place): number {
  return place.y + place.height;
}

function middle(place: Place): number {
  return place.x + place.width / 2;
}
