// Files on their way to the API. The one request that is not made by `fetch`, which tells nothing of its progress.
import { language } from "@/words/language";
import { Problem, problemFrom } from "./problem";

/** The bytes of a file in base64, as JSON can carry them. */
async function base64(file: File): Promise<string> {
  const bytes = new Uint8Array(await file.arrayBuffer());
  let text = "";
  // In pieces: a call takes only so many arguments.
  for (let from = 0; from < bytes.length; from += 0x8000) text += String.fromCharCode(...bytes.subarray(from, from + 0x8000));
  return btoa(text);
}

/**
 * Brings the sample of a template's header to Meta; gives Meta's handle of it, or throws a {@link Problem}. `progress` is
 * told the part that is on its way, from 0 to 1.
 */
export async function uploadSample(sample: { account: string; format: string; file: File }, progress: (part: number) => void): Promise<string> {
  const { account, format, file } = sample;
  const body = JSON.stringify({ account, format, name: file.name, content: await base64(file) });
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    request.open("POST", "/api/v1/waba/templates/samples");
    request.setRequestHeader("Content-Type", "application/json");
    request.setRequestHeader("Accept-Language", language.value);
    request.upload.onprogress = ({ loaded, total }) => progress(total === 0 ? 0 : loaded / total);
    request.onerror = () => failed(new Problem(0, ""));
    request.onload = () => {
      let said: unknown = null;
      try {
        said = JSON.parse(request.responseText);
      } catch {
        // A proxy in front of the API may answer with anything.
      }
      const { handle } = (said ?? {}) as { handle?: unknown };
      if (request.status >= 200 && request.status < 300 && typeof handle === "string") done(handle);
      else failed(problemFrom(new Response(null, { status: Math.max(request.status, 200), statusText: request.statusText }), said));
    };
    request.send(body);
  });
}
