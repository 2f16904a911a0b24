/* lint.h -- warnings that the tree of a file alone gives. */
#ifndef FRONTEND_LINT_H
#define FRONTEND_LINT_H
#include "frontend/ast.h"
#include "ir/diag.h"

/* W0803: a config that nothing in the file names. W0808: a local that nothing in its function reads; names that begin with _ are
 * left alone. Only for a file without errors. */
void lint_file(const Ast *file, Diag *diag);

#endif
