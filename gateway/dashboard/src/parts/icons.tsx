/** Icons, drawn here so that nothing has to be fetched. They are decoration: what they mean is said beside them. */

const PATHS = {
  play: "M5 3.5v9l7.5-4.5z",
  pause: "M5 3.5v9M11 3.500v9",
  stop: "M4 4h8v8H4z",
  step: "M4 3.500v9l6-4.500zM12.500 3.500v9",
  fork: "M4.500 3v10M4.500 8.500c4 0 7-1 7-4.500M9.500 5.500l2-2 2 2",
  trash: "M3 4.500h10M6.500 4.500V3h3v1.500M4.500 4.500l.6 8.500h5.800l.6-8.500",
  plus: "M8 3v10M3 8h10",
  minus: "M3 8h10",
  close: "M4 4l8 8M12 4l-8 8",
  fit: "M3 6V3h3M10 3h3v3M13 10v3h-3M6 13H3v-3",
  locate: "M8 1.500v3M8 11.500v3M1.500 8h3M11.500 8h3M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6",
  chevron: "M4 6l4 4 4-4",
  warning: "M8 2.500l6 11H2zM8 7v3M8 12v.1",
  wrench: "M13 4.500a3.500 3.500 0 0 1-4.500 4.300L5 12.500 3.500 11 7.200 7.500A3.500 3.500 0 0 1 11.500 3L9.500 5l1.500 1.500z",
  flag: "M4 14V2.500h7.500L9.500 5.500l2 3H4",
  cross: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2M6 6l4 4M10 6l-4 4",
  arrow: "M3 8h9M8.500 4.500L12 8l-3.500 3.500",
  swap: "M3 5.500h9L9.500 3M13 10.500H4l2.500 2.500",
  gear: "M8 5.500a2.500 2.500 0 1 0 0 5 2.500 2.500 0 0 0 0-5M8 1.500v2M8 12.500v2M1.500 8h2M12.500 8h2M3.400 3.400l1.400 1.400M11.200 11.200l1.400 1.400M12.600 3.400l-1.400 1.400M4.800 11.200l-1.400 1.400",
  clock: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2M8 4.800V8l2.200 1.500",
  search: "M7 2.500a4.500 4.500 0 1 0 0 9 4.500 4.500 0 0 0 0-9M10.500 10.500l3 3",
  eye: "M1.500 8S4 3.500 8 3.500 14.500 8 14.500 8 12 12.500 8 12.500 1.500 8 1.500 8M8 6.200a1.800 1.800 0 1 0 0 3.600 1.800 1.800 0 0 0 0-3.600",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}

export function Mark() {
  return (
    <svg class="mark" viewBox="0 0 32 32" width="26" height="26" aria-hidden="true" focusable="false">
      <rect width="32" height="32" rx="8" />
      <path d="M7 24c5-3 13-3 18 0M7 18.500c5-3 13-3 18 0M16 14V6M16 10c-4 0-5-2-5-4 3 0 5 1 5 4zM16 10c4 0 5-2 5-4-3 0-5 1-5 4z" />
    </svg>
  );
}
