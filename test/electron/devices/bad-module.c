/* A PKCS#11 module that loads and then misbehaves, as CONCLAVE_BAD says: for modules.test.ts, never shipped. */
#include <pkcs11/pkcs11.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static CK_RV initialize(CK_VOID_PTR arguments) { (void)arguments; return CKR_OK; }
static CK_RV finalize(CK_VOID_PTR reserved) { (void)reserved; return CKR_OK; }

static CK_RV get_info(CK_INFO_PTR info) {
  memset(info, ' ', sizeof *info);
  info->cryptokiVersion.major = 2;
  info->cryptokiVersion.minor = 40;
  info->libraryVersion.major = info->libraryVersion.minor = 0;
  info->flags = 0;
  memcpy(info->manufacturerID, "Bad", 3);
  return CKR_OK;
}

static CK_RV get_slot_list(CK_BBOOL present, CK_SLOT_ID_PTR slots, CK_ULONG_PTR count) {
  const char *bad = getenv("CONCLAVE_BAD");
  (void)present;
  (void)slots;
  if (bad && !strcmp(bad, "hang")) for (;;) sleep(1);
  if (bad && !strcmp(bad, "crash")) *(volatile int *)8 = 1;
  if (bad && !strcmp(bad, "abort")) abort();
  if (bad && !strcmp(bad, "exit")) exit(0);
  if (bad && !strcmp(bad, "vendor")) return CKR_VENDOR_DEFINED + 0x1234;
  if (bad && !strcmp(bad, "newer")) return 0x208; /* CKR_TOKEN_NOT_INITIALIZED, unknown to headers of 2.40 */
  *count = 0;
  return CKR_OK;
}

static CK_FUNCTION_LIST functions;

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list) {
  functions.version.major = 2;
  functions.version.minor = 40;
  functions.C_Initialize = initialize;
  functions.C_Finalize = finalize;
  functions.C_GetInfo = get_info;
  functions.C_GetSlotList = get_slot_list;
  *list = &functions;
  return CKR_OK;
}
