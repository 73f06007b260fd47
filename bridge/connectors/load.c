/* SPDX-License-Identifier: MIT */
#include <pubsub/connector.h>

#include <dlfcn.h>
#include <string.h>

#define SYMBOL "pubsub_connector_v1"

/* Everything that the host calls without asking; what may be NULL is not here. */
static bool is_complete(const pubsub_connector *connector)
{
    return connector->name != NULL && connector->initialize != NULL && connector->start != NULL &&
           connector->resume != NULL && connector->stop != NULL && connector->fini != NULL &&
           (connector->settled != NULL || (connector->flags & PUBSUB_CONNECTOR_SETTLES) == 0) &&
           (connector->settings != NULL || connector->setting_count == 0);
}

pubsub_err pubsub_connector_load(const char *path, const pubsub_connector **out, pubsub_error *err)
{
    if (path == NULL || out == NULL) {
        return pubsub_error_set(err, PUBSUB_EINVAL, "pubsub_connector_load: NULL");
    }
    *out = NULL;
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (object == NULL) {
        return pubsub_error_set(err, PUBSUB_ENOTFOUND, "cannot load the connector: %s", dlerror());
    }
    const pubsub_connector *connector = dlsym(object, SYMBOL);
    pubsub_err rc = PUBSUB_OK;
    if (connector == NULL) {
        rc = pubsub_error_set(err, PUBSUB_ENOTFOUND, "%s is no connector: it has no " SYMBOL, path);
    } else if (connector->abi != PUBSUB_CONNECTOR_ABI || connector->size < sizeof(*connector)) {
        rc = pubsub_error_set(err, PUBSUB_EVERSION,
                              "%s was built for version %u of the connectors' interface, this is "
                              "%u: build it again",
                              path, (unsigned)connector->abi, PUBSUB_CONNECTOR_ABI);
    } else if (!is_complete(connector)) {
        rc = pubsub_error_set(err, PUBSUB_EVERSION, "%s: its table lacks members that are needed",
                              path);
    }
    if (rc != PUBSUB_OK) {
        (void)dlclose(object);
        return rc;
    }
    *out = connector; /* stays loaded until the process ends */
    return PUBSUB_OK;
}
