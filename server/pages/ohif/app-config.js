// OHIF as this node serves it: one DICOMweb source on the same origin, and nothing from anywhere else.
window.config = {
  name: "spine-node",
  routerBasename: null,
  extensions: [],
  modes: [],
  // What a model drew is a result: a reader looks at it and answers by a review, never by moving it by accident.
  customizationService: [{ "panelMeasurement.disableEditing": { $set: true } }],
  // In place of the logo: the review beside OHIF, of the study that is open. In that page's frame there is no second way.
  whiteLabeling: {
    createLogoComponentFn: (React) => {
      const study = new URLSearchParams(window.location.search).get("StudyInstanceUIDs")?.split(",")[0];
      if (!study || window.parent !== window) return null;
      const address = `/study?beside=ohif&StudyInstanceUIDs=${encodeURIComponent(study)}`;
      const open = (event) => event.stopPropagation(); // around it, OHIF goes back to its list
      return React.createElement("a", { href: address, onClick: open, className: "text-foreground underline" }, "Review findings");
    },
  },
  showStudyList: true,
  investigationalUseDialog: { option: "always" },
  maxNumberOfWebWorkers: 2,
  maxNumRequests: { interaction: 10, thumbnail: 4, prefetch: 6 },
  showWarningMessageForCrossOrigin: false,
  showCPUFallbackMessage: true,
  showLoadingIndicator: true,
  strictZSpacingForVolumeViewport: true,
  groupEnabledModesFirst: true,
  allowMultiSelectExport: false,
  showErrorDetails: "production",
  defaultDataSourceName: "dicomweb",
  dataSources: [
    {
      namespace: "@ohif/extension-default.dataSourcesModule.dicomweb",
      sourceName: "dicomweb",
      configuration: {
        friendlyName: "Spine node",
        name: "spine-node",
        wadoUriRoot: "/dicom-web",
        qidoRoot: "/dicom-web",
        wadoRoot: "/dicom-web",
        qidoSupportsIncludeField: false,
        imageRendering: "wadors",
        thumbnailRendering: "wadors",
        enableStudyLazyLoad: true,
        supportsFuzzyMatching: false,
        supportsWildcard: false,
        omitQuotationForMultipartRequest: true,
        bulkDataURI: { enabled: true, relativeResolution: "studies" },
        dicomUploadEnabled: false,
      },
    },
  ],
};
