// The review beside OHIF: its page in a frame of this one, on the same origin, so that neither loses the study.
"use strict";

const WAIT_MS = 200;
const TRIES = 50;

function openBeside() {
  document.body.classList.add("beside");
  for (const id of ["series", "stage", "bar"]) at(id).hidden = true;
  const address = `/viewer?StudyInstanceUIDs=${encodeURIComponent(uid)}`;
  at("viewport").prepend(make("iframe", { id: "ohif", title: "OHIF viewer", src: address }));
}

// OHIF shows the image of a finding. Its services are its own, and may change: without them the image is named alone.
async function jumpInOhif(series_uid, index) {
  const series = seriesOf(series_uid);
  const { sop_uid } = series.images[index];
  at("drawing").textContent = `Chosen: ${series.text}, image ${index + 1} of ${series.images.length}.`;
  const { displaySetService, viewportGridService, cornerstoneViewportService } = at("ohif").contentWindow?.services ?? {};
  const set = displaySetService?.getActiveDisplaySets().find((one) =>
    one.SeriesInstanceUID === series_uid && (one.instances ?? []).some((instance) => instance.SOPInstanceUID === sop_uid));
  if (!set) return;
  const viewportId = viewportGridService.getState().activeViewportId;
  if (!viewportGridService.getDisplaySetsUIDsForViewport(viewportId)?.includes(set.displaySetInstanceUID)) {
    viewportGridService.setDisplaySetsForViewport({ viewportId, displaySetInstanceUIDs: [set.displaySetInstanceUID] });
  }
  for (let tries = 0; tries < TRIES; tries += 1) {
    const viewport = cornerstoneViewportService.getCornerstoneViewport(viewportId);
    const found = (viewport?.getImageIds?.() ?? []).findIndex((id) => id.includes(`/instances/${sop_uid}/`));
    if (found >= 0) { await viewport.setImageIdIndex?.(found); return; }
    await new Promise((resolve) => { setTimeout(resolve, WAIT_MS); });
  }
}
