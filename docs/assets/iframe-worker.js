// The search of a page that was opened from the disk. Browsers start no worker there, so the worker's
// script runs in a hidden frame instead; on a server nothing is changed.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.frame.title = "search";
      document.body.appendChild(this.frame);
      const inside = this.frame.contentWindow;
      // what the script says goes to whoever listens here
      inside.postMessageToPage = (data) =>
        this.dispatchEvent(new MessageEvent("message", { data }));
      inside.document.open();
      inside.document.write(
        "<script>self.postMessage = (data) => self.postMessageToPage(data);</" + "script>",
      );
      inside.document.write(`<script src="${url}"></` + "script>");
      inside.document.close();
      this.ready = new Promise((done) => inside.addEventListener("load", done));
    }

    postMessage(data) {
      const inside = this.frame.contentWindow;
      this.ready.then(() => inside.dispatchEvent(new inside.MessageEvent("message", { data })));
    }

    terminate() {
      this.frame.remove();
    }
  };
}
