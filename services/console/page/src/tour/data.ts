/** The tour as `cardwatch tour` writes it from docs/tour: the types are those of cli/tour/page_data.py. */

import { signal } from "@preact/signals";
import { errorOf } from "../api.ts";
import type { EstimatorTable } from "../estimator/table.ts";
import type { BoxName } from "../frames.ts";
import { isReplay, unpacked } from "../replay/recording.ts";

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
  /** The quantities of the view Estimator; a replay of an older page has none. */
  estimator?: EstimatorTable;
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
const files = import.meta.glob<AwsPicture[]>("../generated/tour.json", { eager: true, import: "aws" });

/** The environments on AWS, which the diagram needs; the rest of the tour is read when it is opened. */
export const AWS_PICTURES: AwsPicture[] = Object.values(files)[0] ?? [];

/** The tour: undefined until it is read, null if the page was built without it. */
export const tour = signal<Tour | null | undefined>(undefined);

/** Why the tour cannot be read, empty if nothing is wrong. */
export const readingError = signal("");

/** Read the tour, once: from the console's server, or from the replay that this page is. */
export async function readTour(): Promise<void> {
  if (tour.value !== undefined) return;
  readingError.value = "";
  try {
    tour.value = await (isReplay ? recordedTour() : servedTour());
  } catch (error) {
    readingError.value = (error as Error).message;
  }
}

async function servedTour(): Promise<Tour | null> {
  const response = await fetch("/api/tour");
  if (response.status === 404) return null;
  if (!response.ok) throw new Error(await errorOf(response));
  return (await response.json()) as Tour;
}

async function recordedTour(): Promise<Tour | null> {
  const block = document.getElementById("tour");
  return block && ((await unpacked(block)) as Tour);
}
