"""Routes and models of templates: drafts, publishing, versions, the publish gate."""
