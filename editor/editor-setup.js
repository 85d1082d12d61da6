// The editor of templates: HTML with Jinja, laid over a text box. Bundled into notifier/console/static/vendor/editor.js by `make vendor`.
import {autocompletion, completionKeymap} from "@codemirror/autocomplete";
import {defaultKeymap, history, historyKeymap} from "@codemirror/commands";
import {html} from "@codemirror/lang-html";
import {jinja} from "@codemirror/lang-jinja";
import {HighlightStyle, bracketMatching, syntaxHighlighting} from "@codemirror/language";
import {lintGutter, lintKeymap, setDiagnostics} from "@codemirror/lint";
import {EditorView, drawSelection, highlightActiveLine, keymap, lineNumbers} from "@codemirror/view";
import {tags} from "@lezer/highlight";

// Colours are variables of the page's style sheet, so that light and dark are decided there.
const colours = HighlightStyle.define([
  {tag: [tags.tagName, tags.angleBracket], color: "var(--code-tag)"},
  {tag: [tags.attributeName, tags.propertyName], color: "var(--code-name)"},
  {tag: [tags.string, tags.attributeValue], color: "var(--code-text)"},
  {tag: [tags.keyword, tags.operator, tags.brace, tags.special(tags.brace), tags.processingInstruction], color: "var(--code-mark)"},
  {tag: [tags.variableName, tags.function(tags.variableName)], color: "var(--code-variable)"},
  {tag: [tags.comment, tags.lineComment, tags.blockComment], color: "var(--code-comment)"},
]);

/** Offer the template's variables, and after a `|` the filters that templates may use. */
function complete(names) {
  return (context) => {
    const word = context.matchBefore(/[\w.]*/);
    const before = context.state.sliceDoc(Math.max(0, word.from - 200), word.from);
    const opened = Math.max(before.lastIndexOf("{{"), before.lastIndexOf("{%"));
    if (opened < 0 || opened < Math.max(before.lastIndexOf("}}"), before.lastIndexOf("%}"))) return null;
    const isFilter = /\|\s*$/.test(before);
    if (!isFilter && word.from === word.to && !context.explicit) return null;
    const {variables, filters} = names();
    const options = (isFilter ? filters : variables).map((label) => ({label, type: isFilter ? "function" : "variable"}));
    return {from: word.from, options, validFor: /^[\w.]*$/};
  };
}

/**
 * Lay an editor over a text box, which stays the field of the form.
 * @param {HTMLTextAreaElement} box
 * @param {{nonce: string, label: string, isHtml: boolean, names: () => {variables: string[], filters: string[]},
 *          changed: () => void, save: () => void}} options
 */
export function createEditor(box, options) {
  const language = options.isHtml ? jinja({base: html()}) : jinja();
  const view = new EditorView({
    doc: box.value,
    extensions: [
      EditorView.cspNonce.of(options.nonce),
      lineNumbers(),
      history(),
      drawSelection(),
      bracketMatching(),
      highlightActiveLine(),
      EditorView.lineWrapping,
      syntaxHighlighting(colours),
      language,
      autocompletion({override: [complete(options.names)]}),
      lintGutter(),
      keymap.of([
        {key: "Mod-s", run: () => (options.save(), true), preventDefault: true},
        ...completionKeymap,
        ...lintKeymap,
        ...historyKeymap,
        ...defaultKeymap, // has no binding of Tab, which leaves the editor
      ]),
      EditorView.contentAttributes.of({"aria-label": options.label, spellcheck: "false", tabindex: "0"}),
      EditorView.updateListener.of((update) => {
        if (!update.docChanged) return;
        box.value = view.state.doc.toString();
        options.changed();
      }),
    ],
  });
  box.hidden = true;
  box.after(view.dom);
  return {
    focusLine(number) {
      const line = view.state.doc.line(Math.min(Math.max(number, 1), view.state.doc.lines));
      view.dispatch({selection: {anchor: line.from}, effects: EditorView.scrollIntoView(line.from, {y: "center"})});
      view.focus();
    },
    setRemarks(remarks) {
      const diagnostics = remarks
        .filter((remark) => remark.line && remark.line <= view.state.doc.lines)
        .map((remark) => {
          const line = view.state.doc.line(remark.line);
          return {from: line.from, to: line.to, severity: remark.severity, message: remark.message};
        });
      view.dispatch(setDiagnostics(view.state, diagnostics));
    },
  };
}
