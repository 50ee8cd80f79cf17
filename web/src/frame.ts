// What the server says about a page that Bitrix24 opened in a frame. It stands in the page itself, because a frame has no
// cookies of ours.

export interface Frame {
  /** Stands for the person who looks at the page; good for an hour. */
  token: string;
  /** `install`, `application`, or the name of the placement, such as `SETTING_CONNECTOR`. */
  place: string;
  /** What Bitrix24 says about the place, such as the connector and the line. */
  options: Record<string, unknown>;
}

function read(): Frame | null {
  const content = document.querySelector<HTMLMetaElement>('meta[name="separator-frame"]')?.content;
  if (content === undefined || content === "") return null;
  const { token, place, options } = JSON.parse(content) as Partial<Frame>;
  if (typeof token !== "string" || typeof place !== "string") return null;
  return { token, place, options: typeof options === "object" && options !== null ? options : {} };
}

/** The frame that this page is in; null in a browser's own window. */
export const frame: Frame | null = read();
