#ifdef __cplusplus
extern "C"
#endif
int work(const char *where);
