// Camera and microphone: opening them, choosing them, and why they can't be used.

const REMEMBERED = { camera: "introeval-camera", microphone: "introeval-microphone" };
// A face on a phone's screen. 720p would be three times the bytes, for thirty students on one Wi-Fi.
const PICTURE = { width: { ideal: 854 }, height: { ideal: 480 }, frameRate: { ideal: 24 } };

/** The name of the text on why this browser can't record, or null. */
export function obstacle() {
  if (!window.isSecureContext) return "insecure";
  if (!navigator.mediaDevices?.getUserMedia || !window.MediaRecorder || !window.indexedDB) return "unsupported";
  return null;
}

/** A stream from the remembered devices. Throws what getUserMedia throws. */
export async function open({ soundOnly }) {
  const video = soundOnly ? false : { ...PICTURE, ...preferred("camera") };
  return navigator.mediaDevices.getUserMedia({ video, audio: { ...preferred("microphone") } });
}

/** The name of the text for what getUserMedia threw. */
export function refusalOf(error, { soundOnly }) {
  switch (error.name) {
    case "NotAllowedError":
    case "SecurityError":
      return "denied";
    case "NotFoundError":
    case "OverconstrainedError":
      return soundOnly ? "no_microphone" : "no_device";
    case "NotReadableError":
    case "AbortError":
      return "in_use";
    default:
      return "failed";
  }
}

export function remember(kind, deviceId) {
  try {
    localStorage.setItem(REMEMBERED[kind], deviceId);
  } catch {
    // A private window may have no storage.
  }
}

function preferred(kind) {
  try {
    const deviceId = localStorage.getItem(REMEMBERED[kind]);
    return deviceId ? { deviceId: { ideal: deviceId } } : {};
  } catch {
    return {};
  }
}

/** Fill the two selects and choose the devices in use. Labels are known only once a stream was allowed. */
export async function offer(stream, selects) {
  const found = await navigator.mediaDevices.enumerateDevices();
  for (const [kind, input] of [["camera", "videoinput"], ["microphone", "audioinput"]]) {
    const track = stream.getTracks().find((each) => `${each.kind}input` === input);
    const devices = found.filter((device) => device.kind === input && device.deviceId);
    selects[kind].replaceChildren(...devices.map((device) => new Option(device.label, device.deviceId)));
    if (track) selects[kind].value = track.getSettings().deviceId;
  }
}

export function close(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}
