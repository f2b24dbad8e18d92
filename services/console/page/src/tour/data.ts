/** The tour as `cardwatch tour` writes it from docs/tour: the types are those of cli/tour/page_data.py. */

import type { BoxName } from "../frames.ts";

export interface TourFigure {
  shown: string;
  source: string;
}

export interface TourQuestion {
  number: number;
  ask: string;
  answer: string;
  /** Every figure of the answer, with the file that holds it. */
  figures: TourFigure[];
  /** Files of the repository. */
  see: string[];
}

export interface TourTable {
  title: string;
  head: string[];
  rows: string[][];
  note: string;
}

export interface TourStop {
  id: string;
  title: string;
  minutes: number;
  purpose: string;
  draw: string[];
  boxes: BoxName[];
  notes: string[];
  /** The first is what an interviewer asks at this stop. */
  questions: TourQuestion[];
  follow_ups: { ask: string; point: string }[];
  rubric: Record<"senior" | "staff", string[]>;
  rejected: { instead: string; because: string; right_when: string; page: string }[];
  tables: TourTable[];
  /** Titles of the drawings, which are in docs/whiteboard.md. */
  drawings: string[];
  limits: string[];
}

export interface Tour {
  talk_minutes: number;
  introduction: string[];
  stops: TourStop[];
  aws: AwsPicture[];
}

/** An item of a bill. */
export interface PricedItem {
  service: string;
  quantities: string;
  /** US dollars per month. */
  dollars: number;
}

/** infra/aws/cost/picture.py: an environment at a rate of transactions per second. */
export interface AwsPicture {
  environment: string;
  region: string;
  rate: number;
  prices_of: string;
  dollars: number;
  boxes: Partial<Record<BoxName, PricedItem[]>>;
  others: PricedItem[];
}

/** A page can be built without the tour, where the repository's docs are not: then there is nothing to import. */
const files = import.meta.glob<Tour>("../generated/tour.json", { eager: true, import: "default" });

/** The tour, null if the page was built without it. */
export const TOUR: Tour | null = Object.values(files)[0] ?? null;
