// Takes a photograph: a phone's own camera program where there is one, else a picture of the webcam.

const byId = <T extends HTMLElement>(id: string) => document.getElementById(id) as T;

/** Sets up the camera; `onPhoto` is given what was taken, `onTrouble` one message. */
export function setUpCamera(onPhoto: (photo: File) => void, onTrouble: (message: string) => void): () => void {
  const dialog = byId<HTMLDialogElement>("camera"), video = byId<HTMLVideoElement>("video");
  const shot = byId<HTMLInputElement>("shot");
  const stop = () => {
    for (const track of (video.srcObject as MediaStream | null)?.getTracks() ?? []) track.stop();
    video.srcObject = null;
  };
  dialog.onclose = stop;
  byId("camera-close").onclick = () => dialog.close();
  byId("camera-take").onclick = () => {
    const canvas = document.createElement("canvas");
    canvas.width = video.videoWidth;
    canvas.height = video.videoHeight;
    if (!canvas.width) return; // no picture yet
    canvas.getContext("2d")!.drawImage(video, 0, 0);
    canvas.toBlob((blob) => {
      dialog.close();
      const time = new Date().toTimeString().slice(0, 8).replaceAll(":", "-");
      if (blob) onPhoto(new File([blob], `camera_${time}.png`, { type: "image/png" }));
    }, "image/png");
  };
  shot.onchange = () => {
    for (const file of shot.files ?? []) onPhoto(file);
    shot.value = "";
  };
  return async () => {
    if (matchMedia("(pointer: coarse)").matches) { // a phone or tablet
      shot.click();
      return;
    }
    try {
      video.srcObject = await navigator.mediaDevices.getUserMedia({
        video: { width: { ideal: 4096 }, height: { ideal: 3072 }, facingMode: "environment" },
      });
      dialog.showModal();
      await video.play();
    } catch (error) {
      stop();
      const reason = (error as Error).name === "NotAllowedError" ? "it was not allowed" : "none was found";
      onTrouble(`No camera can be used: ${navigator.mediaDevices ? reason : "the page must come from https:// or localhost"}. Open a photo instead.`);
    }
  };
}
