"""Move rules from `<style>` into tags: selectors, stylesheets, tags, and which rule wins."""
