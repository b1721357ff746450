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

(() => {
  // OHIF's loader of segmentations views pixels through ndarray, which writes a class for each type and number of
  // dimensions as text and compiles it; that alone would need 'unsafe-eval' in this page. Its texts are never compiled here:
  // they are recognised by the name of what they would return, and this class stands in for theirs. Any other text goes to
  // the browser's own Function, which the page's policy refuses.
  const isPlace = value => typeof value === "number" && value >= 0;
  class View {
    constructor(dtype, data, shape, stride, offset) {
      Object.assign(this, { dtype, data, shape, stride, offset: offset | 0, dimension: shape.length });
    }
    get size() {
      return this.shape.reduce((product, length) => product * length, 1);
    }
    get order() {
      return [...this.stride.keys()].sort((one, other) => Math.abs(this.stride[one]) - Math.abs(this.stride[other]));
    }
    index(...at) {
      let place = this.offset;
      for (let axis = 0; axis < this.dimension; axis++) place += this.stride[axis] * at[axis];
      return place;
    }
    get(...at) {
      return this.data[this.index(...at)];
    }
    set(...at) {
      return (this.data[this.index(...at)] = at[this.dimension]);
    }
    hi(...to) {
      const shape = this.shape.map((length, axis) => (isPlace(to[axis]) ? to[axis] | 0 : length));
      return new View(this.dtype, this.data, shape, this.stride, this.offset);
    }
    lo(...from) {
      const start = this.shape.map((_, axis) => (isPlace(from[axis]) ? from[axis] | 0 : 0));
      const shape = this.shape.map((length, axis) => length - start[axis]);
      return new View(this.dtype, this.data, shape, this.stride, this.index(...start));
    }
    step(...by) {
      const steps = this.shape.map((_, axis) => (typeof by[axis] === "number" ? by[axis] | 0 : 1));
      const start = this.shape.map((length, axis) => (steps[axis] < 0 ? length - 1 : 0));
      const shape = this.shape.map((length, axis) => Math.ceil(length / Math.abs(steps[axis])));
      const stride = this.stride.map((length, axis) => length * steps[axis]);
      return new View(this.dtype, this.data, shape, stride, this.index(...start));
    }
    transpose(...axes) {
      const order = this.shape.map((_, axis) => (axes[axis] === undefined ? axis : axes[axis] | 0));
      const [shape, stride] = [this.shape, this.stride].map(values => order.map(axis => values[axis]));
      return new View(this.dtype, this.data, shape, stride, this.offset);
    }
    pick(...at) {
      const left = [...this.shape.keys()].filter(axis => !isPlace(at[axis]));
      const [shape, stride] = [this.shape, this.stride].map(values => left.map(axis => values[axis]));
      const start = this.shape.map((_, axis) => (isPlace(at[axis]) ? at[axis] : 0));
      return new View(this.dtype, this.data, shape, stride, this.index(...start));
    }
  }
  window.Function = new Proxy(window.Function, {
    construct(target, words, made) {
      const named = /return function construct_View(?:_Nil|\d+d)(float32|float64|u?int8|u?int16|u?int32)\(/.exec(words.at(-1));
      if (named === null) return Reflect.construct(target, words, made);
      return () => (data, shape = [], stride = [], offset = 0) => new View(named[1], data, shape, stride, offset);
    },
  });
})();
